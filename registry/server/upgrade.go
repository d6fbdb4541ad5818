package server

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"cleat/registry"
	"cleat/registry/access"
)

// handshakeWithin is how long the server takes to write its answer to a
// handshake.
const handshakeWithin = 5 * time.Second

// wsVersion is the only version of the WebSocket protocol that there is.
const wsVersion = "13"

// keySize is the length of a Sec-WebSocket-Key: 16 bytes in base64.
const keySize = 24

// checkHandshake returns what is wrong with a handshake, or 0.
func checkHandshake(r *http.Request) (status int, message, hint string) {
	switch {
	case r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket"):
		return http.StatusUpgradeRequired, "this path speaks the session protocol, a WebSocket", "use cleat, or see docs/protocol.md"
	case r.Header.Get("Sec-Websocket-Version") != wsVersion:
		return http.StatusUpgradeRequired, "the version of the WebSocket protocol is not " + wsVersion, ""
	case len(r.Header.Get("Sec-Websocket-Key")) != keySize:
		return http.StatusBadRequest, "the Sec-WebSocket-Key is not 16 bytes in base64", ""
	case !hasToken(r.Header, "Sec-Websocket-Protocol", registry.Subprotocol):
		return http.StatusBadRequest, "the request does not offer the subprotocol " + registry.Subprotocol, "another version of cleat may be needed on one side"
	}
	return 0, "", ""
}

// startSession turns a request into a session.
func (s *Server) startSession(w http.ResponseWriter, r *http.Request) {
	if status, message, hint := checkHandshake(r); status != 0 {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", wsVersion)
		problem(w, status, message, hint)
		return
	}
	if s.leaving.Load() {
		problem(w, http.StatusServiceUnavailable, "the server is about to stop", "use another one")
		return
	}
	if s.sessions.Add(1) > int64(s.config.MaxSessions) {
		s.sessions.Add(-1)
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "the server has as many sessions as it takes", "raise -max-sessions of cleatd, or use more servers")
		return
	}
	upgrader := ws.HTTPUpgrader{
		Timeout:  handshakeWithin,
		Protocol: func(name string) bool { return name == registry.Subprotocol },
	}
	conn, buffered, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		s.sessions.Add(-1)
		if conn != nil {
			conn.Close()
		}
		return
	}
	var ahead []byte
	if n := buffered.Reader.Buffered(); n > 0 {
		ahead = make([]byte, n)
		_, _ = buffered.Reader.Read(ahead) // from the buffer: all of it, no error
	}
	s.adopt(conn, ahead, access.Of(r.Context()))
}

// adopt gives the connection a goroutine of its own, so that the one that shook
// hands, its stack and its buffers are free.
func (s *Server) adopt(conn net.Conn, ahead []byte, grant access.Grant) {
	l := &link{server: s, conn: conn}
	l.out.writer = l
	l.cut = func() { conn.Close() }
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		s.sessions.Add(-1)
		conn.Close()
		return
	}
	if s.config.Tokens != nil {
		grant, _ = s.config.Tokens.Renew(grant) // it may have been revoked since the request came
	}
	l.allowed.Store(&grant)
	s.core.now = time.Now()
	s.core.greet(&l.session, peerOf(conn))
	s.open[l] = struct{}{}
	s.links.Add(1)
	l.unread, l.limited = ahead, true
	l.limit(false)
	go l.work()
}

// forget is called when a link has ended.
func (s *Server) forget(l *link) {
	s.mu.Lock()
	delete(s.open, l)
	s.mu.Unlock()
	s.sessions.Add(-1)
	s.links.Done()
}

// peerOf returns the address that the server sees, without the port.
func peerOf(conn net.Conn) string {
	address := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// hasToken reports whether a header is a list that has the token, in any case.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h[name] {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
