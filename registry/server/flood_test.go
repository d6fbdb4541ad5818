package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cleat/registry/server"
)

// besieged is a server on a real socket.
type besieged struct {
	t       *testing.T
	address string
}

func besiege(t *testing.T, config server.Config) *besieged {
	t.Helper()
	srv, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &besieged{t, listener.Addr().String()}
}

// patience is how long somebody who behaves may have to wait on a small machine
// that runs other tests.
const patience = 2 * time.Second

// healthy asks as somebody who behaves.
func (b *besieged) healthy(header http.Header) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+b.address+"/api/v1/services", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		b.t.Errorf("somebody who behaves is not served: %v", err)
		return
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		b.t.Errorf("somebody who behaves gets %d", answer.StatusCode)
	}
}

// TestSlowLoris: many connections that each send a byte now and then are cut
// when their time is over, and delay nobody meanwhile.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	b := besiege(t, cold())
	const (
		many  = 300
		every = 200 * time.Millisecond
		limit = 5*time.Second + patience // for a header
	)
	text := "GET /api/v1/services HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + strings.Repeat("x", 1000)
	var cut sync.WaitGroup
	for range many {
		cut.Go(func() {
			conn, err := net.Dial("tcp", b.address)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			begin := time.Now()
			for _, c := range []byte(text) {
				conn.SetReadDeadline(time.Now().Add(every))
				if _, err := conn.Read(make([]byte, 1)); err != nil && !strings.Contains(err.Error(), "timeout") {
					return
				}
				if time.Since(begin) > limit {
					t.Errorf("a slow request still lives after %v", limit)
					return
				}
				if _, err := conn.Write([]byte{c}); err != nil {
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		cut.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			b.healthy(nil)
			return
		case <-time.After(every):
			b.healthy(nil)
		}
	}
}

// TestFlood: who sends whatever as fast as it goes costs others a little time,
// and the server no memory that stays.
func TestFlood(t *testing.T) {
	t.Parallel()
	k := tokens(t, "ann read *")
	b := besiege(t, k.config())
	const (
		many = 100
		long = 1500 * time.Millisecond
	)
	attacks := []string{
		"GET /api/v1/services HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer cleat_%043d\r\n\r\n",
		"GET /v1/catalog/services?token=cleat_%043d HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 55\r\n\r\ntoken=cleat_%043d",
		"GET /%0100d HTTP/1.1\r\nHost: x\r\nCookie: cleatd=x\r\n\r\n",
		"PUT /api/v1/instances/x HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n%0900d",
		"GET /api/v1/session HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: %d\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01garbage%0200d",
	}
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := memory()
	var sent, answered atomic.Int64
	var attackers sync.WaitGroup
	over := time.Now().Add(long)
	for n := range many {
		attackers.Go(func() {
			for time.Now().Before(over) {
				conn, err := net.Dial("tcp", b.address)
				if err != nil {
					t.Error(err)
					return
				}
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				for i := range 20 { // on one connection, while it lasts
					if _, err := fmt.Fprintf(conn, attacks[n%len(attacks)], n*1000+i); err != nil {
						break
					}
					sent.Add(1)
				}
				conn.(*net.TCPConn).CloseWrite()
				n, _ := io.Copy(io.Discard, conn)
				answered.Add(n)
				conn.Close()
			}
		})
	}
	for time.Now().Before(over) {
		b.healthy(k.bearer("ann"))
		time.Sleep(50 * time.Millisecond)
	}
	attackers.Wait()
	b.healthy(k.bearer("ann"))
	const much = 32 << 20 // bytes; what is in flight, and no more
	if after := memory(); after > before+much {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	t.Logf("%d requests sent, %d bytes answered", sent.Load(), answered.Load())
}
