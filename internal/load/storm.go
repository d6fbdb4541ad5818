package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/miekg/dns"

	"cleat/registry"
)

const (
	// steadyInstances are registered all the time, in a namespace that nothing
	// random names.
	steadyInstances = 100
	steady          = "steady"
	// flat is how much memory of its own the server may have at any time of the
	// storm, in MB: little, and a journal of events that is full.
	flat = 32
)

// measureStorm sends random requests, messages and packets, most of which are
// almost right, and looks whether anybody who did nothing wrong notices.
func measureStorm(ctx context.Context, c *config, r *report) error {
	p, err := startServer(ctx, c)
	if err != nil {
		return err
	}
	defer p.stop()
	bystanders, err := gather(ctx, p, 2, func(n int) registry.Declare {
		d := registry.Declare{ID: fmt.Sprint(steady, n), Key: "0123456789abcdef", Namespace: steady}
		if n == 0 {
			for i := range steadyInstances {
				d.Provides = append(d.Provides, registry.Instance{
					ID: fmt.Sprintf("%s:%d", steady, i), Service: steady, Address: "192.0.2.1", Port: 80, Status: registry.Passing,
				})
			}
			return d
		}
		d.Requires = []registry.Require{{Alias: "s", Filter: steady + "?ns=" + steady, Min: 1}}
		return d
	})
	if err != nil {
		return err
	}
	beats, stop := context.WithCancel(ctx)
	defer stop()
	go bystanders.alive(beats)
	heard := bystanders.expect(1)

	s := &storm{p: p, seed: uint64(time.Now().UnixNano())}
	began := time.Now()
	const tenths = 10
	for range tenths {
		if err := s.blow(ctx, int64(c.storm/tenths)); err != nil {
			return fmt.Errorf("after %d requests (seed %d): %w", s.sent.Load(), s.seed, err)
		}
		now, err := p.resident()
		if err != nil {
			return err
		}
		r.row(fmt.Sprintf("memory after %d", s.sent.Load()), now/1e6, "MB", budget{most: flat})
		if err := s.steady(ctx); err != nil {
			return err
		}
	}
	select {
	case <-heard:
		return fmt.Errorf("somebody who did nothing wrong heard of a change")
	default:
	}
	r.row("random requests, messages and packets", float64(s.sent.Load()), fmt.Sprintf("in %s", time.Since(began).Round(time.Second)), budget{})
	r.row("connections that the server closed for it", float64(s.closed.Load()), "", budget{})
	stop()
	return bystanders.leave()
}

// storm is who sends what is random.
type storm struct {
	p      *process
	seed   uint64
	sent   atomic.Int64
	closed atomic.Int64
}

// steady looks whether the server still knows what it must.
func (s *storm) steady(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.p.address+"/api/v1/services/"+steady+"?namespace="+steady, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var detail registry.ServiceDetail
	if err := json.NewDecoder(answer.Body).Decode(&detail); err != nil {
		return err
	}
	passing := 0
	for _, i := range detail.Instances {
		if i.Status == registry.Passing && !i.Held {
			passing++
		}
	}
	if passing != steadyInstances {
		return fmt.Errorf("%d of %d instances are left that nobody touched", passing, steadyInstances)
	}
	return nil
}

// blow sends n more.
func (s *storm) blow(ctx context.Context, n int64) error {
	s.seed++
	end := s.sent.Load() + n
	var wg sync.WaitGroup
	failed := make(chan error, 8)
	for worker, send := range []func(context.Context, *rand.Rand, int64) error{s.requests, s.requests, s.messages, s.messages, s.packets} {
		wg.Go(func() {
			if err := send(ctx, rand.New(rand.NewPCG(s.seed, uint64(worker))), end); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

// take counts one more, and reports whether it is to be sent.
func (s *storm) take(ctx context.Context, end int64) bool {
	return s.sent.Add(1) <= end && ctx.Err() == nil
}

// dial connects; the server may be busy closing what was wrong.
func (s *storm) dial() (net.Conn, *bufio.Reader, error) {
	for patient := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.p.address)
		if err == nil {
			_ = conn.SetDeadline(time.Now().Add(patience))
			return conn, bufio.NewReaderSize(conn, 16<<10), nil
		}
		if time.Now().After(patient) {
			return nil, nil, fmt.Errorf("the server takes no connections any more: %w", err)
		}
	}
}

// requests sends HTTP, on a connection for as long as the server keeps it.
func (s *storm) requests(ctx context.Context, random *rand.Rand, end int64) error {
	var conn net.Conn
	var r *bufio.Reader
	for s.take(ctx, end) {
		if conn == nil {
			var err error
			if conn, r, err = s.dial(); err != nil {
				return err
			}
		}
		text, whole := randomRequest(random)
		wait := patience
		if !whole {
			wait = 20 * time.Millisecond // the server may be waiting for the rest
		}
		_ = conn.SetDeadline(time.Now().Add(wait))
		if _, err := conn.Write(text); err == nil {
			var answer *http.Response
			if answer, err = http.ReadResponse(r, asked(text)); err == nil {
				var body []byte
				body, err = io.ReadAll(io.LimitReader(answer.Body, 16<<20))
				answer.Body.Close()
				// Consul's interface has a 500 for what is elsewhere.
				if answer.StatusCode == http.StatusInternalServerError && !bytes.Contains(text, []byte("/v1/")) || bytes.Contains(body, []byte("mistake in the server")) {
					return fmt.Errorf("the server answers %s %s to %q", answer.Status, body, text)
				}
				if err == nil && !answer.Close {
					continue
				}
			}
		}
		s.closed.Add(1)
		conn.Close()
		conn = nil
	}
	if conn != nil {
		conn.Close()
	}
	return nil
}

// asked tells how to read the answer to a request: one to HEAD has no body.
func asked(text []byte) *http.Request {
	method, _, _ := strings.Cut(string(text[:min(len(text), 8)]), " ")
	return &http.Request{Method: method}
}

// messages sends what a launcher sends, on a session for as long as the server
// keeps it.
func (s *storm) messages(ctx context.Context, random *rand.Rand, end int64) error {
	for ctx.Err() == nil && s.sent.Load() < end {
		conn, r, err := s.dial()
		if err != nil {
			return err
		}
		if err := handshake(conn, r); err != nil {
			conn.Close()
			s.closed.Add(1)
			continue
		}
		gone := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, r)
			close(gone)
		}()
		var batch bytes.Buffer
	session:
		for s.take(ctx, end) {
			_ = conn.SetDeadline(time.Now().Add(patience))
			batch.Write(randomMessage(random))
			if random.IntN(20) > 0 {
				continue
			}
			if _, err := batch.WriteTo(conn); err != nil {
				break
			}
			select {
			case <-gone:
				break session
			default:
			}
		}
		s.closed.Add(1)
		conn.Close()
		<-gone
	}
	return nil
}

// packets sends DNS over UDP.
func (s *storm) packets(ctx context.Context, random *rand.Rand, end int64) error {
	conn, err := net.Dial("udp", s.p.names)
	if err != nil {
		return err
	}
	defer conn.Close()
	buffer := make([]byte, 4096)
	for n := 0; s.take(ctx, end); n++ {
		if _, err := conn.Write(randomPacket(random)); err != nil && ctx.Err() != nil {
			return err
		}
		if n%16 == 0 { // as fast as it is read
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, _ = conn.Read(buffer)
		}
	}
	return nil
}

// pick returns one of the texts.
func pick(random *rand.Rand, texts ...string) string { return texts[random.IntN(len(texts))] }

// spoil changes some bytes of a text, now and then.
func spoil(random *rand.Rand, text []byte, odds int) []byte {
	for n := 0; n < 8 && len(text) > 0 && random.IntN(odds) == 0; n++ {
		at := random.IntN(len(text))
		switch random.IntN(3) {
		case 0:
			text[at] = byte(random.UintN(256))
		case 1:
			text = append(text[:at], text[at+1:]...)
		default:
			text = append(text[:at], append([]byte(pick(random, "{", "\"", "%", "/", "0", "\x00", "é", "[[")), text[at:]...)...)
		}
	}
	return text
}

// word is a part of a path, a query or a body: of a small set, so that much of
// it hits something.
func word(random *rand.Rand) string {
	return pick(random, "web", "db", "WEB", "default", "dev", "x-1", "i-1", "i-2", "i-3", "host:web:80", "", "..", "%2f", "a b", "passing", "UP", "DOWN",
		"true", "-1", "99999999999999999999", strings.Repeat("n", 70), "ü")
}

// randomRequest returns a request, and whether the server can see where it ends.
func randomRequest(random *rand.Rand) (text []byte, whole bool) {
	w := func() string { return strings.ReplaceAll(word(random), " ", "%20") }
	path := pick(random,
		"/", "/api/v1/services", "/api/v1/services/"+w(), "/api/v1/sessions", "/api/v1/instances/"+w(), "/api/v1/instances/"+w()+"/maintenance",
		"/api/v1/instances/"+w()+"/drain", "/api/v1/graph", "/api/v1/prometheus", "/api/v1/session", "/api/v1/openapi.json", "/healthz", "/readyz", "/metrics",
		"/v1/catalog/services", "/v1/catalog/service/"+w(), "/v1/health/service/"+w(), "/v1/agent/service/register", "/v1/agent/service/deregister/"+w(),
		"/v1/agent/check/pass/service:"+w(), "/v1/agent/self", "/v1/status/leader", "/v1/kv/"+w(), "/v1/catalog/nodes", "/v1/health/state/any",
		"/eureka/apps", "/eureka/apps/delta", "/eureka/v2/apps/"+w(), "/eureka/apps/"+w()+"/"+w(), "/eureka/apps/"+w()+"/"+w()+"/status", "/eureka/vips/"+w(),
		"/services/"+w(), "/map", "/map.svg", "/sessions", "/"+w()+"/"+w())
	var query strings.Builder
	for random.IntN(3) == 0 {
		query.WriteString(pick(random, "&", "&", ";") + pick(random, "ns", "namespace", "tag", "attr.role", "zone", "passing", "index", "filter", "status", "value", "dc", "wait", "cached") +
			"=" + pick(random, w(), w(), "1", "~.*", "1ms", "~(", "Service.Tags contains web"))
	}
	if query.String() != "" {
		path += "?" + query.String()[1:]
	}
	method := pick(random, "GET", "GET", "GET", "GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH")
	body := ""
	if method == "PUT" || method == "POST" {
		body = randomBody(random)
	}
	text = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\nContent-Length: %d\r\n\r\n%s", method, path,
		pick(random, "*/*", "application/json", "text/html", "application/xml"), len(body), body)
	if random.IntN(200) > 0 {
		return text, true
	}
	return spoil(random, text, 1), false
}

func randomBody(random *rand.Rand) string {
	return string(spoil(random, []byte(pick(random,
		"", "{}", "null", "[", `{"service":"web","address":"10.0.0.1","port":80}`,
		fmt.Sprintf(`{"service":%q,"address":"10.0.0.1","port":%d,"tags":[%q],"ttl":"1s"}`, word(random), random.IntN(70000)-1, word(random)),
		fmt.Sprintf(`{"ID":"i-%d","Name":%q,"Port":80,"Address":"10.0.0.2","Check":{"TTL":"%ds","DeregisterCriticalServiceAfter":"1m"}}`, random.IntN(20), word(random), random.IntN(5)),
		fmt.Sprintf(`{"instance":{"instanceId":"h:web:%d","hostName":"h","app":"WEB","ipAddr":"10.0.0.3","port":{"$":%d,"@enabled":"true"},"leaseInfo":{"durationInSecs":1},"dataCenterInfo":{"name":"MyOwn"}}}`, random.IntN(20), random.IntN(70000)),
	)), 4))
}

func randomMessage(random *rand.Rand) []byte {
	d := provider(fmt.Sprintf("random-%d", random.IntN(50)), registry.Status(pick(random, "passing", "warning", "critical", "starting", "draining", "asleep")))
	d.Provides[0].Service = word(random)
	if random.IntN(2) == 0 {
		d.Requires = append(d.Requires, registry.Require{Alias: "a", Filter: word(random) + pick(random, "?ns=default", "?ns=dev", "?ns=default&tag=a", ""), Min: random.IntN(3)})
	}
	text := pick(random,
		string(registry.ClientMessage{Declare: &d}.Encode()), string(registry.ClientMessage{Declare: &d}.Encode()),
		`{"report":{"state":"running","restarts":3,"renders":4}}`,
		`{"applied":{"filter":"web?ns=default","revision":1}}`, `{"drain":{"ids":["random-1:80"],"wait":10}}`, `{}`, `{"declare":null}`, "[]")
	op := ws.OpText
	if random.IntN(10) == 0 {
		op = []ws.OpCode{ws.OpPing, ws.OpPong, ws.OpBinary, ws.OpContinuation}[random.IntN(4)]
		text = pick(random, "", text[:min(len(text), 120)])
	}
	// Most of the messages are of the right form: one that is not ends the session.
	if random.IntN(100) == 0 {
		return spoil(random, frame(op, []byte(text)), 1)
	}
	return frame(op, []byte(text))
}

func randomPacket(random *rand.Rand) []byte {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(pick(random, "web.default.cleat", "_web._tcp.default.cleat", "nothing.default.cleat", "blue.web.default.cleat", "1.0.0.10.in-addr.arpa",
		"0a000001.addr.cleat", "cleat", "example.com", "ns.dns.cleat")), []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY, dns.TypePTR, dns.TypeSOA, dns.TypeNS}[random.IntN(7)])
	if random.IntN(3) == 0 {
		m.SetEdns0(uint16(random.UintN(1<<16)), true)
	}
	packet, err := m.Pack()
	if err != nil {
		return []byte{0}
	}
	return spoil(random, packet, 3)
}
