package logline_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/logline"
)

// Lines come in order, and all of them, when somebody reads.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := logline.NewBackground(&out)
		for _, line := range []string{"one\n", "two\n", "three\n"} {
			io.WriteString(b, line)
		}
		b.Close(time.Second)
		if got := out.String(); got != "one\ntwo\nthree\n" {
			t.Errorf("got %q", got)
		}
	})
}

// A reader that has stopped to read makes nobody wait, and is told what it has
// missed when it goes on.
func TestBackgroundNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, write := io.Pipe()
		b := logline.NewBackground(write)
		began := time.Now()
		for range 5000 {
			io.WriteString(b, "line\n")
		}
		b.Close(100 * time.Millisecond)
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("it took %v, expected the limit of Close", took)
		}
		var out strings.Builder
		go func() {
			synctest.Wait()
			write.Close()
		}()
		if _, err := io.Copy(&out, read); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "lines of this log were dropped") {
			t.Errorf("nothing tells that lines were dropped: %q", out.String())
		}
	})
}
