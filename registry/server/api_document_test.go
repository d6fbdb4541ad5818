package server_test

import (
	"cmp"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Every curl line of docs/api.md does what it says, in order.
func TestEveryLineOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^curl (-N )?(?:-X (\w+) )?http://127\.0\.0\.1:9640(\S+)(?: -d '([^']*)')?`)
	lines := line.FindAllStringSubmatch(string(text), -1)
	if len(lines) < 16 {
		t.Fatalf("only %d lines were found", len(lines))
	}
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.expect(200, "PUT", "/api/v1/instances/db-1", database, nil)
		for _, l := range lines {
			streams, method, path, body := l[1] != "", l[2], l[3], l[4]
			if streams {
				w.listen(path, "").close()
				continue
			}
			if strings.HasSuffix(path, "/maintenance") || strings.HasSuffix(path, "/drain") {
				w.expect(200, "PUT", "/api/v1/instances/db-1", database, nil)
			}
			if status, data, _ := w.ask(cmp.Or(method, "GET"), path, body, nil); status != 200 && status != 204 {
				t.Errorf("%s: %d %s", l[0], status, data)
			}
		}
		time.Sleep(time.Second)
	})
}
