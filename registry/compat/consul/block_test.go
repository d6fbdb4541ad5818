package consul_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
)

// late is an answer, and when it came.
type late struct {
	answer
	err  error
	took time.Duration
}

// async asks, and returns what will hold the answer.
func (w *world) async(path string) <-chan late {
	out := make(chan late, 1)
	began := time.Now()
	go func() {
		a, err := w.try("GET", path, "", nil)
		out <- late{a, err, time.Since(began)}
	}()
	synctest.Wait()
	return out
}

// A query with the index of the last answer waits for the next change.
func TestBlocking(t *testing.T) {
	lists := []string{
		"health/service/web", "health/service/web?passing=1", "health/service/web?tag=v2", "health/service/web?filter=Service.Port==8080",
		"catalog/service/web", "catalog/services", "catalog/nodes?node-meta=zone:x", "health/state/any", "health/checks/web", "health/node/n1", "catalog/node/n1",
		"catalog/node-services/n1", "catalog/services?filter=ServiceName==web",
	}
	for _, list := range lists {
		bubble(t, cold(), func(t *testing.T, w *world) {
			with := func(index uint64, wait string) string {
				separator := "?"
				if strings.Contains(list, "?") {
					separator = "&"
				}
				return fmt.Sprintf("/v1/%s%sindex=%d&wait=%s", list, separator, index, wait)
			}
			before := w.get("/v1/" + list)
			index := before.index(t)
			waiting := w.async(with(index, "60s"))
			time.Sleep(20 * time.Second)
			c := w.launch("n1", "web", registry.Passing, func(i *registry.Instance) {
				i.Port, i.Tags, i.Zone = 8080, []string{"v2"}, "x"
			})
			got := <-waiting
			if got.err != nil || got.status != 200 || got.index(t) <= index || got.body == before.body || got.took > 21*time.Second {
				t.Fatalf("%s: an instance came: %+v", list, got)
			}
			// Nothing happens: the same again when the time is over, and a
			// part of it for the jitter.
			index = got.index(t)
			got2 := <-w.async(with(index, "32s"))
			if got2.err != nil || got2.took < 32*time.Second || got2.took > 34*time.Second || got2.body != got.body || got2.index(t) != index {
				t.Fatalf("%s: nothing happened: %+v", list, got2)
			}
			// It goes.
			waiting = w.async(with(index, "10m"))
			time.Sleep(3 * time.Minute)
			c.Leave(time.Second)
			got = <-waiting
			if got.err != nil || got.index(t) <= index || got.body != before.body || got.took > 181*time.Second {
				t.Errorf("%s: it went: %+v", list, got)
			}
			// An index of another time is answered at once.
			for _, other := range []uint64{1, index, got.index(t) + 1000, 1 << 63} {
				if a := <-w.async(with(other, "60s")); a.took != 0 || a.index(t) < got.index(t) {
					t.Errorf("%s: index %d: %+v", list, other, a)
				}
			}
		})
	}
}

// Who waits is not told of changes that do not concern him.
func TestBlockingUnconcerned(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", `{"ID":"web-0","Name":"web","Port":80,"Address":"10.0.0.5","Tags":["v2"]}`)
		for _, list := range []string{
			"catalog/services", "health/service/db", "catalog/service/web", "health/service/web?tag=v1", "health/service/web?passing", "health/state/warning",
		} {
			separator := "?"
			if strings.Contains(list, "?") {
				separator = "&"
			}
			a := w.get("/v1/" + list)
			waiting := w.async(fmt.Sprintf("/v1/%s%sindex=%d&wait=60s", list, separator, a.index(t)))
			for n := range 5 {
				time.Sleep(5 * time.Second)
				w.put("/v1/agent/service/register", `{"ID":"web-9","Name":"web","Port":80,"Address":"10.0.0.6","Tags":["v2"],"Check":{"TTL":"5m","Status":"critical"}}`)
				if strings.HasPrefix(list, "catalog/service/") && n == 0 { // the first does concern him
					got := <-waiting
					waiting = w.async(fmt.Sprintf("/v1/%s?index=%d&wait=60s", list, got.index(t)))
				}
				w.put("/v1/agent/check/fail/service:web-9?note="+fmt.Sprint(n), "")
			}
			if got := <-waiting; got.took < 55*time.Second {
				t.Errorf("%s: woken after %v: %s", list, got.took, got.body)
			}
			w.put("/v1/agent/service/deregister/web-9", "")
		}
	})
}

// An output that is another one each time wakes those who wait every five minutes
// only; a status at once.
func TestBlockingOutputs(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", web1)
		w.put("/v1/agent/check/pass/service:web-1", "")
		index := w.get("/v1/health/service/web").index(t)
		woken := 0
		waiting := w.async(fmt.Sprintf("/v1/health/service/web?index=%d&wait=10m", index))
		for n := range 12 * 60 / 2 {
			time.Sleep(2 * time.Second)
			w.put("/v1/agent/check/pass/service:web-1?note=beat-"+fmt.Sprint(n), "")
			time.Sleep(100 * time.Millisecond)
			select {
			case got := <-waiting:
				woken++
				waiting = w.async(fmt.Sprintf("/v1/health/service/web?index=%d&wait=10m", got.index(t)))
			default:
			}
		}
		if woken != 3 {
			t.Errorf("woken %d times in 12 minutes", woken)
		}
		w.put("/v1/agent/check/warn/service:web-1?note=oh", "")
		if got := <-waiting; !strings.Contains(got.body, `"Output":"oh"`) {
			t.Errorf("got %s", got.body)
		}
	})
}

// Changes that come together are one answer, for everybody who waits.
func TestBlockingTogether(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		index := w.get("/v1/health/service/web").index(t)
		var all []<-chan late
		for range 50 {
			all = append(all, w.async(fmt.Sprintf("/v1/health/service/web?index=%d", index)))
		}
		for n := range 20 {
			w.put("/v1/agent/service/register", fmt.Sprintf(`{"ID":"web-%d","Name":"web","Port":80,"Address":"10.0.0.5"}`, n))
			time.Sleep(time.Millisecond)
		}
		for _, one := range all {
			if got := <-one; got.err != nil || strings.Count(got.body, `"Service":"web"`) != 20 || got.took > 100*time.Millisecond {
				t.Fatalf("%d instances after %v", strings.Count(got.body, `"Service":"web"`), got.took)
			}
		}
	})
}

// The index of a list never goes back, whatever happens to it.
func TestIndexNeverGoesBack(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		lists := []string{"health/service/web", "health/service/other", "catalog/services", "health/state/any", "catalog/nodes"}
		last := make(map[string]uint64)
		look := func(after string) {
			for _, list := range lists {
				index := w.get("/v1/" + list).index(t)
				if index < last[list] {
					t.Errorf("%s: %d after %d, after %s", list, index, last[list], after)
				}
				last[list] = index
			}
		}
		for round := range 20 {
			w.put("/v1/agent/service/register", web1)
			look("a registration")
			if round%2 == 0 {
				w.put("/v1/agent/service/register", `{"Name":"other","Port":1,"Address":"10.0.0.5"}`)
				look("another service")
			}
			w.put("/v1/agent/check/pass/service:web-1", "")
			look("a pass")
			w.put("/v1/agent/service/deregister/web-1", "")
			look("its end")
			if round%2 == 0 {
				w.put("/v1/agent/service/deregister/other", "")
				look("the other's end")
			}
		}
	})
}

// agent/service/<id> is waited for by the hash of its last answer.
func TestBlockingByHash(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		w.put("/v1/agent/service/register", web1)
		a := w.get("/v1/agent/service/web-1")
		hash := a.header.Get("X-Consul-ContentHash")
		if hash == "" || !strings.Contains(a.body, `"ContentHash":"`+hash+`"`) {
			t.Fatalf("got %v %s", a.header, a.body)
		}
		waiting := w.async("/v1/agent/service/web-1?wait=60s&hash=" + hash)
		time.Sleep(5 * time.Second)
		w.put("/v1/agent/check/pass/service:web-1", "") // is no part of it
		time.Sleep(5 * time.Second)
		w.put("/v1/agent/service/register", strings.Replace(web1, "8080", "9090", 1))
		if got := <-waiting; got.took < 10*time.Second || got.took > 11*time.Second || !strings.Contains(got.body, "9090") {
			t.Errorf("got %+v", got)
		}
		if got := <-w.async("/v1/agent/service/web-1?wait=60s&hash=0000"); got.took != 0 {
			t.Errorf("another hash: %+v", got)
		}
		waiting = w.async("/v1/agent/service/web-1?wait=16s&hash=" + w.get("/v1/agent/service/web-1").header.Get("X-Consul-ContentHash"))
		if got := <-waiting; got.took < 16*time.Second || got.took > 17*time.Second || got.status != 200 {
			t.Errorf("nothing happened: %+v", got)
		}
		if a := w.get("/v1/agent/service/none"); a.status != 404 {
			t.Errorf("got %+v", a)
		}
	})
}

// A wait without a length is five minutes, and none is longer than ten.
func TestWaits(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		index := w.get("/v1/health/service/web").index(t)
		for wait, want := range map[string]time.Duration{"": 5 * time.Minute, "&wait=0": 5 * time.Minute, "&wait=5h": 10 * time.Minute, "&wait=100ms": 100 * time.Millisecond} {
			got := <-w.async(fmt.Sprintf("/v1/health/service/web?index=%d%s", index, wait))
			if got.err != nil || got.took < want || got.took > want+want/16+time.Millisecond {
				t.Errorf("%q: %v after %v; want %v", wait, got.err, got.took, want)
			}
		}
	})
}

// A client that goes away, or a server that ends, ends the wait.
func TestBlockingEnds(t *testing.T) {
	bubble(t, cold(), func(t *testing.T, w *world) {
		index := w.get("/v1/health/service/web").index(t)
		ctx, cancel := context.WithCancel(t.Context())
		transport := &http.Transport{DialContext: w.listener.Dial}
		r, _ := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://127.0.0.1/v1/health/service/web?index=%d", index), nil)
		gone := make(chan error, 1)
		go func() {
			_, err := transport.RoundTrip(r)
			gone <- err
		}()
		time.Sleep(time.Minute)
		cancel()
		if err := <-gone; err == nil {
			t.Error("there was an answer")
		}
		waiting := w.async(fmt.Sprintf("/v1/health/service/web?index=%d", index))
		time.Sleep(time.Minute)
		began := time.Now()
		w.stop()
		<-w.served
		if got := <-waiting; got.err == nil && got.status != 200 {
			t.Errorf("got %+v", got)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the end of the server took %v", took)
		}
	})
}
