package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/client"
)

// seen is what a consumer was ever told, without repetitions.
type seen struct {
	mu    sync.Mutex
	views []string
}

func (s *seen) add(v client.Viewed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, e := range v.View.Endpoints {
		ids = append(ids, e.ID)
	}
	text := fmt.Sprint(v.Message.Filter, ids)
	if len(s.views) == 0 || s.views[len(s.views)-1] != text {
		s.views = append(s.views, text)
	}
}

func (s *seen) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.views) == 0 {
		return ""
	}
	return s.views[len(s.views)-1]
}

// launch runs a client until the returned function is called.
func launch(t *testing.T, address string, declare registry.Declare, heard func(client.Event)) (cut func()) {
	t.Helper()
	c := client.New(client.Config{Servers: []string{"http://" + address}})
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { _ = c.Run(ctx) })
	work.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-c.Events():
				heard(e)
			}
		}
	})
	declare.Namespace, declare.Key = "default", "0123456789abcdef"+declare.ID
	c.Declare(declare)
	cut = func() { cancel(); work.Wait() }
	t.Cleanup(cut)
	return cut
}

func await(t *testing.T, what string, within time.Duration, there func() bool) {
	t.Helper()
	for began := time.Now(); !there(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > within {
			t.Fatalf("%s: not within %v", what, within)
		}
	}
}

func put(t *testing.T, url, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %d %s", url, response.StatusCode, answer)
	}
}

// TestKilled: a server that is killed, and started again with the same -data,
// knows what has no launcher and what is in maintenance; holds what launchers
// had until they are back, or until warming ends; and no consumer sees a change
// but the loss of what really is gone.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := start(t, "-data", dir, "-dns", "off", "-warming", "0")
	go io.Copy(io.Discard, d.log)
	base := "http://" + d.address
	for _, id := range []string{"db1", "db2"} {
		put(t, base+"/v1/agent/service/register", fmt.Sprintf(`{"ID":%q,"Name":"db","Address":"192.0.2.7","Port":5432}`, id))
	}
	put(t, base+"/v1/agent/service/maintenance/db2?enable=true&reason=disk", "")

	var web, db seen
	launch(t, d.address, registry.Declare{ID: "shop", Requires: []registry.Require{
		{Alias: "web", Filter: "web?ns=default"}, {Alias: "db", Filter: "db?ns=default"},
	}}, func(e client.Event) {
		if v, ok := e.(client.Viewed); ok {
			map[string]*seen{"web?ns=default": &web, "db?ns=default": &db}[v.Message.Filter].add(v)
		}
	})
	provide := func(id string, port uint16) (cut func()) {
		return launch(t, d.address, registry.Declare{ID: id, Provides: []registry.Instance{
			{ID: id + ":80", Service: "web", Address: "192.0.2.1", Port: port, Status: registry.Passing},
		}}, func(client.Event) {})
	}
	provide("stays", 80)
	await(t, "the first", 10*time.Second, func() bool { return web.last() == "web?ns=default[stays:80]" })
	dies := provide("dies", 81)
	const both = "web?ns=default[stays:80 dies:80]"
	await(t, "both", 10*time.Second, func() bool { return web.last() == both && db.last() == "db?ns=default[db1]" })
	time.Sleep(500 * time.Millisecond) // what is written behind

	if err := d.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = d.Wait() // by a signal
	dies()
	d2 := start(t, "-data", dir, "-dns", "off", "-listen", d.address)
	go io.Copy(io.Discard, d2.log)

	await(t, "the end of warming", 40*time.Second, func() bool { return web.last() != both })
	if got := web.last(); got != "web?ns=default[stays:80]" {
		t.Errorf("at the end of warming: %s", got)
	}
	time.Sleep(100 * time.Millisecond)
	web.mu.Lock()
	defer web.mu.Unlock()
	if at := slices.Index(web.views, both); len(web.views) != at+2 {
		t.Errorf("the consumer saw %q", web.views)
	}
	if got := db.last(); got != "db?ns=default[db1]" {
		t.Errorf("of what has no launcher: %s", got)
	}
	response, err := http.Get(base + "/api/v1/services/db")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); !strings.Contains(string(body), `"db1"`) || !strings.Contains(string(body), `"maintenance"`) {
		t.Errorf("got %s", body)
	}
}

// TestDataInUse: the directory of another server, and one that is damaged, are
// said to be that.
func TestDataInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := start(t, "-data", dir, "-dns", "off")
	go io.Copy(io.Discard, d.log)
	var errs strings.Builder
	args := []string{"-listen", "127.0.0.1:0", "-dns", "off", "-data", dir}
	if code := run(t.Context(), args, nil, io.Discard, &errs); code != exitFailed || !strings.Contains(errs.String(), "another cleatd") {
		t.Errorf("in use: exit %d, %s", code, errs.String())
	}
	if err := d.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = d.Wait() // by a signal
	if err := os.WriteFile(filepath.Join(dir, "cleatd.db"), []byte(strings.Repeat("garbage", 10000)), 0o600); err != nil {
		t.Fatal(err)
	}
	errs.Reset()
	if code := run(t.Context(), args, nil, io.Discard, &errs); code != exitFailed || !strings.Contains(errs.String(), "damaged") || !strings.Contains(errs.String(), "move it away") {
		t.Errorf("damaged: exit %d, %s", code, errs.String())
	}
}
