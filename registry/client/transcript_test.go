package client_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/server"
)

const protocolPage = "../../docs/protocol.md"

var update = flag.Bool("update", false, "write what the server answers into docs/protocol.md")

// The conversation in docs/protocol.md is what the real server says, byte for
// byte: what clients send is taken from the page, what they get is compared
// with it.
func TestTranscript(t *testing.T) {
	text, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	request, _ := block(t, page, "http", 0)
	answer, answerAt := block(t, page, "http", 1)
	script, scriptAt := block(t, page, "transcript", 0)

	synctest.Test(t, func(t *testing.T) {
		p := play{t: t, listener: memnet.Listen(), request: strings.ReplaceAll(request, "\n", "\r\n")}
		s, err := server.New(server.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var ctx context.Context
		ctx, p.stop = context.WithCancel(t.Context())
		p.work.Go(func() { s.Serve(ctx, p.listener) })
		for line := range strings.Lines(script) {
			p.line(strings.TrimSuffix(line, "\n"))
		}
		p.end()

		if *update {
			page = page[:scriptAt] + p.said.String() + page[scriptAt+len(script):]
			page = page[:answerAt] + p.answer + page[answerAt+len(answer):]
			if err := os.WriteFile(protocolPage, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		if p.answer != answer {
			t.Errorf("the handshake is answered with\n%s\nand the page says\n%s", p.answer, answer)
		}
		said, want := strings.Split(p.said.String(), "\n"), strings.Split(script, "\n")
		for i := range max(len(said), len(want)) {
			if i >= len(said) || i >= len(want) || said[i] != want[i] {
				t.Fatalf("from line %d of the conversation on, it is\n%s\nand the page says\n%s", i+1,
					strings.Join(said[min(i, len(said)):], "\n"), strings.Join(want[min(i, len(want)):], "\n"))
			}
		}
	})
}

// block returns the n-th fenced block of a kind behind the heading, and where it
// begins.
func block(t *testing.T, page, kind string, n int) (text string, at int) {
	at = strings.Index(page, "\n## A conversation\n")
	for range n + 1 {
		begin := strings.Index(page[at:], "```"+kind+"\n")
		if begin < 0 {
			t.Fatalf("there is no block %d of %s", n, kind)
		}
		at += begin + len("```"+kind+"\n")
	}
	end := strings.Index(page[at:], "```\n")
	return page[at : at+end], at
}

// play is a conversation that is being played.
type play struct {
	t        *testing.T
	listener *memnet.Listener
	request  string
	answer   string // to the first handshake
	stop     context.CancelFunc
	work     sync.WaitGroup
	clients  []*player
	said     strings.Builder
}

// player is one of the clients.
type player struct {
	name string
	conn net.Conn

	mu  sync.Mutex
	got []string // what came, and was not written down yet
	cut bool
}

var (
	pause   = regexp.MustCompile(`^\((\d+) s pass\)$`)
	sending = regexp.MustCompile(`^(\S+) > (.*)$`)
	getting = regexp.MustCompile(`^\S+ < `)
)

// line does what a line says, and writes it down with what follows from it.
func (p *play) line(line string) {
	switch {
	case getting.MatchString(line):
		return // will be written down as it comes
	case line == "" || line[0] == '#':
	case pause.MatchString(line):
		seconds, _ := strconv.Atoi(pause.FindStringSubmatch(line)[1])
		time.Sleep(time.Duration(seconds) * time.Second)
	case line == "(the server stops)":
		p.stop()
	case sending.MatchString(line):
		words := sending.FindStringSubmatch(line)
		p.send(words[1], words[2])
	default:
		p.t.Fatalf("what does %q mean?", line)
	}
	fmt.Fprintln(&p.said, line)
	synctest.Wait()
	for _, c := range p.clients {
		c.mu.Lock()
		for _, text := range c.got {
			fmt.Fprintf(&p.said, "%s < %s\n", c.name, text)
		}
		c.got = nil
		c.mu.Unlock()
	}
}

func (p *play) send(name, text string) {
	if text == "connect" {
		p.connect(name)
		return
	}
	if m, err := registry.DecodeClient([]byte(text)); err == nil && m.Applied != nil && !strings.Contains(p.lastView(name), fmt.Sprintf(`"revision":%d,`, m.Applied.Revision)) {
		p.t.Errorf("%s acknowledges revision %d, and its last view was %s", name, m.Applied.Revision, p.lastView(name))
	}
	for _, c := range p.clients {
		if c.name == name && text == "cut" {
			c.mu.Lock()
			c.cut = true
			c.mu.Unlock()
			c.conn.Close()
			return
		}
		if c.name == name {
			if err := ws.WriteFrame(c.conn, ws.MaskFrame(frameOf(text))); err != nil {
				p.t.Fatal(err)
			}
			return
		}
	}
	p.t.Fatalf("%s has not connected", name)
}

// lastView returns the last view that the client got, as it was written down.
func (p *play) lastView(name string) string {
	said := p.said.String()
	from := max(0, strings.LastIndex(said, name+` < {"view":`))
	view, _, _ := strings.Cut(said[from:], "\n")
	return view
}

func frameOf(text string) ws.Frame {
	var code int
	if _, err := fmt.Sscanf(text, "close %d", &code); err == nil {
		return ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), ""))
	}
	switch text {
	case "ping":
		return ws.NewPingFrame(nil)
	case "pong":
		return ws.NewPongFrame(nil)
	}
	return ws.NewTextFrame([]byte(text))
}

func (p *play) connect(name string) {
	conn, err := p.listener.Dial(p.t.Context(), "tcp", "localhost:9640")
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, p.request); err != nil {
		p.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	var answer strings.Builder
	for !strings.HasSuffix(answer.String(), "\r\n\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			p.t.Fatal(err)
		}
		answer.WriteString(line)
	}
	if p.answer == "" {
		p.answer = strings.ReplaceAll(answer.String(), "\r\n", "\n")
	}
	c := &player{name: name, conn: conn}
	p.clients = append(p.clients, c)
	p.work.Go(func() { c.listen(in) })
}

// listen notes everything that comes, as a line.
func (c *player) listen(in io.Reader) {
	defer c.conn.Close()
	for {
		h, err := ws.ReadHeader(in)
		payload := make([]byte, h.Length)
		if err == nil {
			_, err = io.ReadFull(in, payload)
		}
		text := string(payload)
		switch {
		case err != nil:
			text = "(the connection ends)"
		case h.OpCode == ws.OpPing:
			text = strings.TrimSpace("ping " + text)
		case h.OpCode == ws.OpPong:
			text = strings.TrimSpace("pong " + text)
		case h.OpCode == ws.OpClose:
			code, reason := ws.ParseCloseFrameData(payload)
			text = strings.TrimSpace(fmt.Sprintf("close %d %s", code, reason))
		}
		c.mu.Lock()
		if !c.cut {
			c.got = append(c.got, text)
		}
		c.mu.Unlock()
		if err != nil || h.OpCode == ws.OpClose {
			return
		}
	}
}

func (p *play) end() {
	p.stop()
	for _, c := range p.clients {
		c.conn.Close()
	}
	p.work.Wait()
}
