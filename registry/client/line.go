package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
)

const (
	// readBuffer is the size in bytes of the buffer that every connection has;
	// most messages fit into it.
	readBuffer = 4 << 10
	// maxProblem is how many bytes of the body of a refusal are read.
	maxProblem = 8 << 10
	// maxEarly is how many messages may come before the welcome: one view for
	// each requirement, and then something is wrong.
	maxEarly = 2 * registry.MaxRequires
	// maxControl is the size in bytes of the largest control frame (RFC 6455).
	maxControl = 125
)

var (
	// errClosed: the connection ended, and nobody said why.
	errClosed = errors.New("the connection was closed")
	// errProtocol: what came is not this protocol.
	errProtocol = errors.New("the server does not keep to the session protocol")
	// errSlow: an attempt took too long.
	errSlow = fmt.Errorf("no welcome within %v", registry.ReconnectCap)
)

// line is one connection that a server has welcomed. Two goroutines use it: one
// receives, one sends.
type line struct {
	server  int // index of the server
	url     string
	raw     net.Conn // closing it ends everything at once
	conn    net.Conn // raw, or TLS over it
	in      *bufio.Reader
	out     *outbox
	expire  atomic.Int64 // expire_after in nanoseconds; 0: not welcomed yet
	welcome registry.Welcome
	early   []registry.ServerMessage // what came before the welcome

	// What follows is guarded by Client.mu.
	version int             // of the declare that was sent last
	came    map[string]span // by filter, what came on this connection
	retired map[string]bool // filters that were not required for a while
}

// span is that of the revisions of one view, from the first to the last that came.
type span struct{ first, last registry.Revision }

// connect makes one attempt, of at most [registry.ReconnectCap].
func (c *Client) connect(ctx context.Context, server int) (*line, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, registry.ReconnectCap, errSlow)
	defer cancel()
	stop := context.AfterFunc(c.leaving, cancel)
	defer stop()

	address, err := parseServer(c.config.Servers[server])
	if err != nil {
		return nil, err
	}
	l, err := c.open(ctx, address)
	if err == nil {
		l.server = server
		return l, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return nil, fmt.Errorf("no session with %s: %w", address, err)
}

func (c *Client) open(ctx context.Context, address *url.URL) (*line, error) {
	raw, err := c.config.Dial(ctx, "tcp", hostport(address))
	if err != nil {
		return nil, err
	}
	interrupt := context.AfterFunc(ctx, func() { raw.Close() })
	l, err := c.handshake(ctx, address, raw)
	if err == nil {
		err = c.introduce(l)
	}
	if !interrupt() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return l, nil
}

// handshake makes a WebSocket of a connection.
func (c *Client) handshake(ctx context.Context, address *url.URL, raw net.Conn) (*line, error) {
	conn := raw
	if address.Scheme == "https" {
		config, err := c.config.tls()
		if err != nil {
			return nil, err
		}
		if config.ServerName == "" {
			config.ServerName = address.Hostname()
		}
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	header := make(http.Header)
	if c.config.Token != nil {
		if token := c.config.Token(); token != "" {
			header.Set("Authorization", "Bearer "+token)
		}
	}
	var refusal error
	dialer := ws.Dialer{
		Protocols: []string{registry.Subprotocol},
		Header:    ws.HandshakeHeaderHTTP(header),
		OnStatusError: func(status int, _ []byte, response io.Reader) {
			refusal = refused(status, response)
		},
	}
	buffered, handshake, err := dialer.Upgrade(conn, at(address, registry.SessionPath))
	if refusal != nil {
		return nil, refusal
	}
	if err != nil {
		return nil, fmt.Errorf("the WebSocket handshake failed: %w", err)
	}
	l := &line{url: address.String(), raw: raw, conn: conn, out: newOutbox(), came: make(map[string]span), retired: make(map[string]bool)}
	var begin []byte // what the server sent right behind its handshake
	if buffered != nil {
		begin, _ = buffered.Peek(buffered.Buffered())
		begin = bytes.Clone(begin)
		ws.PutReader(buffered)
	}
	l.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(begin), (*lifeReader)(l)), readBuffer)
	if handshake.Protocol != registry.Subprotocol {
		return nil, fmt.Errorf("%w: it did not agree to %s; is it a cleatd?", errProtocol, registry.Subprotocol)
	}
	return l, nil
}

// introduce declares, and waits for the welcome.
func (c *Client) introduce(l *line) error {
	c.mu.Lock()
	d := c.statement()
	l.version = c.version
	c.mu.Unlock()
	c.retire(l, &d)
	if err := l.write([]registry.ClientMessage{{Declare: &d}}, nil); err != nil {
		return err
	}
	for {
		m, err := l.receive()
		switch {
		case err != nil:
			return err
		case m.Error != nil && m.Error.Fatal:
			return m.Error
		case m.Welcome != nil:
			return l.welcomed(*m.Welcome)
		case len(l.early) == maxEarly:
			return fmt.Errorf("%w: %d messages before the welcome", errProtocol, maxEarly)
		}
		l.early = append(l.early, m)
	}
}

// welcomed takes over what a welcome says about the connection.
func (l *line) welcomed(w registry.Welcome) error {
	if w.BeatEvery <= 0 || w.ExpireAfter < w.BeatEvery {
		return fmt.Errorf("%w: beat_every is %d ms and expire_after %d ms", errProtocol, w.BeatEvery, w.ExpireAfter)
	}
	l.expire.Store(int64(w.ExpireAfter.Duration()))
	l.welcome = w
	return nil
}

// receive returns the next message. It sees to control frames by itself.
func (l *line) receive() (registry.ServerMessage, error) {
	var message []byte
	begun := false
	for {
		h, err := ws.ReadHeader(l.in)
		if err != nil {
			return registry.ServerMessage{}, l.ended(err)
		}
		size := int64(registry.MaxServerMessage - len(message))
		if h.OpCode.IsControl() {
			size = maxControl
		}
		switch {
		case h.Masked || h.Rsv != 0 || h.OpCode.IsReserved() || h.OpCode.IsControl() && !h.Fin,
			h.OpCode == ws.OpBinary, h.OpCode == ws.OpText && begun, h.OpCode == ws.OpContinuation && !begun:
			return registry.ServerMessage{}, fmt.Errorf("%w: a frame that it does not allow", errProtocol)
		case h.Length > size:
			return registry.ServerMessage{}, fmt.Errorf("%w: a message of more than %d bytes", errProtocol, registry.MaxServerMessage)
		}
		if h.OpCode.IsControl() {
			payload := make([]byte, h.Length)
			if _, err := io.ReadFull(l.in, payload); err != nil {
				return registry.ServerMessage{}, l.ended(err)
			}
			switch h.OpCode {
			case ws.OpPing:
				l.out.pong(payload)
			case ws.OpClose:
				code, reason := ws.ParseCloseFrameData(payload)
				return registry.ServerMessage{}, fmt.Errorf("the server closed the session: %d %s", code, registry.Cut(reason))
			}
			continue
		}
		// The buffer grows with what has come, not with what is announced.
		buffer := bytes.NewBuffer(message)
		if _, err := io.CopyN(buffer, l.in, h.Length); err != nil {
			return registry.ServerMessage{}, l.ended(err)
		}
		message, begun = buffer.Bytes(), true
		if !h.Fin {
			continue
		}
		m, err := registry.DecodeServer(message)
		if err != nil {
			return registry.ServerMessage{}, fmt.Errorf("%w: %w", errProtocol, err)
		}
		return m, nil
	}
}

// write sends messages, and a pong if it is not nil, in one piece.
func (l *line) write(messages []registry.ClientMessage, pong []byte) error {
	frames := make([]ws.Frame, 0, len(messages)+1)
	if pong != nil {
		frames = append(frames, ws.NewPongFrame(pong))
	}
	for _, m := range messages {
		frames = append(frames, ws.NewTextFrame(m.Encode()))
	}
	return l.send(frames...)
}

func (l *line) send(frames ...ws.Frame) error {
	if len(frames) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, f := range frames {
		if err := ws.WriteFrame(&b, ws.MaskFrameInPlace(f)); err != nil {
			return err
		}
	}
	if expire := l.expire.Load(); expire > 0 {
		l.conn.SetWriteDeadline(time.Now().Add(time.Duration(expire)))
	}
	_, err := l.conn.Write(b.Bytes())
	return l.ended(err)
}

// ended says what the end of a connection means.
func (l *line) ended(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the server has been silent for %v", time.Duration(l.expire.Load()))
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errClosed
	}
	return fmt.Errorf("%w: %w", errClosed, err)
}

// lifeReader reads from a line; whatever comes is a sign of life, and nothing
// for expire_after is the end of it.
type lifeReader line

func (r *lifeReader) Read(p []byte) (int, error) {
	if expire := r.expire.Load(); expire > 0 {
		r.conn.SetReadDeadline(time.Now().Add(time.Duration(expire)))
	}
	return r.conn.Read(p)
}

// refused makes an error of an HTTP answer that is not the handshake's.
func refused(status int, response io.Reader) error {
	text := http.StatusText(status)
	if answer, err := http.ReadResponse(bufio.NewReader(response), nil); err == nil {
		var problem registry.Problem
		if body, _ := io.ReadAll(io.LimitReader(answer.Body, maxProblem)); json.Unmarshal(body, &problem) == nil && problem.Error != "" {
			text = problem.Error
			if problem.Hint != "" {
				text += "; " + problem.Hint
			}
		}
	}
	text = registry.Cut(text)
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return &registry.Error{Code: registry.CodeUnauthorized, Message: text, Fatal: true}
	}
	return fmt.Errorf("the server answered %d instead of opening a session: %s", status, text)
}

func parseServer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("the server %q is no URL of the form http://host:port or https://host:port", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the URL of the server %s must hold no user, query or fragment; a token is given by itself", u.Host)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// at returns the URL of a path of the server.
func at(server *url.URL, path string) *url.URL {
	u := *server
	u.Path += path
	return &u
}

func hostport(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = u.Scheme // net.Dial knows http and https as ports
	}
	return net.JoinHostPort(u.Hostname(), port)
}
