//go:build linux

package consul_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cleat/registry/compat/consul"
	"cleat/registry/server"
)

// peer makes this test binary, when it runs as a child, a server: "cleatd", or
// "bare", which is net/http with a handler that waits for a channel and writes
// the same bytes to everybody. It says its address, and whenever it reads a line
// its resident memory in bytes and its process time in nanoseconds.
const peer = "CONSUL_TEST_PEER"

func TestMain(m *testing.M) {
	if kind := os.Getenv(peer); kind != "" {
		if err := bePeer(kind); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func bePeer(kind string) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	switch kind {
	case "cleatd":
		none := time.Duration(0)
		s, err := server.New(server.Config{Warming: &none})
		if err != nil {
			return err
		}
		s.Handle("/v1/", consul.New(s, consul.Config{}))
		go func() { _ = s.Serve(context.Background(), listener) }()
	case "bare":
		go func() { _ = http.Serve(listener, &bare{changed: make(chan struct{})}) }() //nolint:gosec // the floor has no limits
	}
	fmt.Println(listener.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		debug.FreeOSMemory()
		memory, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			return err
		}
		pages, err := strconv.Atoi(strings.Fields(string(memory))[1])
		if err != nil {
			return err
		}
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			return err
		}
		fmt.Println(pages*os.Getpagesize(), used.Utime.Nano()+used.Stime.Nano())
	}
	return nil
}

// bare is the least that a server with long polls does.
type bare struct {
	mu      sync.Mutex
	changed chan struct{}
	index   int
}

func (s *bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if r.Method == http.MethodPut {
		_, _ = io.Copy(io.Discard, r.Body)
		close(s.changed)
		s.changed = make(chan struct{})
		s.index++
		s.mu.Unlock()
		return
	}
	changed := s.changed
	s.mu.Unlock()
	if r.URL.Query().Get("index") != "" {
		<-changed
	}
	s.mu.Lock()
	w.Header().Set("X-Consul-Index", strconv.Itoa(s.index))
	s.mu.Unlock()
	_, _ = io.WriteString(w, strings.Repeat("x", 900)) // as much as the list of one instance
}

// measured is a peer in another process.
type measured struct {
	b       *testing.B
	address string
	in      io.Writer
	out     *bufio.Scanner
}

func measure(b *testing.B, kind string) *measured {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), peer+"="+kind)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	m := &measured{b: b, in: in, out: bufio.NewScanner(out)}
	m.out.Scan()
	m.address = m.out.Text()
	return m
}

// usage returns the peer's memory in bytes, and the process time that it used.
func (m *measured) usage() (memory int, used time.Duration) {
	fmt.Fprintln(m.in)
	m.out.Scan()
	if _, err := fmt.Sscan(m.out.Text(), &memory, &used); err != nil {
		m.b.Fatal(err)
	}
	return memory, used
}

// waiter is a connection that waits for the service.
type waiter struct {
	conn  net.Conn
	r     *bufio.Reader
	index string
}

// ask sends a query, and read its answer.
func (w *waiter) ask() error {
	_, err := fmt.Fprintf(w.conn, "GET /v1/health/service/web?index=%s&wait=10m HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", w.index)
	return err
}

func (w *waiter) read() (time.Time, error) {
	answer, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return time.Time{}, err
	}
	at := time.Now()
	w.index = answer.Header.Get("X-Consul-Index")
	_, err = io.Copy(io.Discard, answer.Body)
	return at, err
}

// BenchmarkWaiters measures what clients cost that wait for a service to change:
// the server's resident memory for each, the time from a change until it has
// been told, and the server's process time for that. The bare server is the
// floor; the 50 ms for which changes are gathered are in cleatd's times.
func BenchmarkWaiters(b *testing.B) {
	for _, kind := range []string{"bare", "cleatd"} {
		for _, n := range []int{100, 1000, 4000} {
			b.Run(fmt.Sprintf("%s/waiters=%d", kind, n), func(b *testing.B) { benchmarkWaiters(b, kind, n) })
		}
	}
}

func benchmarkWaiters(b *testing.B, kind string, n int) {
	m := measure(b, kind)
	change := func(port int) {
		body := fmt.Sprintf(`{"ID":"web-1","Name":"web","Port":%d,"Address":"10.0.0.5"}`, 1+port%60000)
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPut, "http://"+m.address+"/v1/agent/service/register", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			b.Fatal(answer.Status)
		}
	}
	change(0)
	before, _ := m.usage()
	waiters := make([]*waiter, n)
	for i := range waiters {
		conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", m.address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		waiters[i] = &waiter{conn: conn, r: bufio.NewReader(conn)}
	}
	all := func(do func(*waiter) error) {
		b.Helper()
		errs := make(chan error, n)
		for _, w := range waiters {
			go func() { errs <- do(w) }()
		}
		for range n {
			if err := <-errs; err != nil {
				b.Fatal(err)
			}
		}
	}
	all(func(w *waiter) error { // without an index, it is answered at once
		if err := w.ask(); err != nil {
			return err
		}
		_, err := w.read()
		return err
	})
	var took []time.Duration
	var spent time.Duration
	var each int
	port := 1
	for b.Loop() {
		all((*waiter).ask)
		time.Sleep(200 * time.Millisecond) // until all of them wait
		memory, used := m.usage()
		each = (memory - before) / n
		var mu sync.Mutex
		began := time.Now()
		change(port)
		port++
		all(func(w *waiter) error {
			at, err := w.read()
			mu.Lock()
			took = append(took, at.Sub(began))
			mu.Unlock()
			return err
		})
		_, after := m.usage()
		spent += after - used
	}
	slices.Sort(took)
	b.ReportMetric(float64(each), "B/waiter")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1e3, "p99-ms")
	b.ReportMetric(float64(spent.Microseconds())/float64(len(took)), "server-µs/waiter")
	b.ReportMetric(0, "ns/op")
}
