package control

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"cleat/registry"
)

// mostAnswer is the size in bytes of the largest answer that is read.
const mostAnswer = 64 << 20

// Client asks one launcher.
type Client struct {
	path string
	uid  int // that it must run as; -1: any
}

// NewClient returns a client of the launcher whose socket is at path.
func NewClient(path string) *Client { return &Client{path, -1} }

// Find returns a client of the launcher whose socket is where sockets are made.
// A container's PID 1 comes before launchers that run beside it, and launchers
// of root or of this user before those of others. Where several are equal the
// error names them.
func Find(ctx context.Context, s Surroundings) (*Client, error) {
	var live []found
	var denied error
	best := 0
	for _, f := range s.search() {
		c := Client{f.path, f.uid}
		conn, err := c.dial(ctx)
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				denied = err
			}
			continue
		}
		conn.Close()
		rank := s.rank(f)
		if rank > best {
			live, best = nil, rank
		}
		if rank == best {
			live = append(live, f)
		}
	}
	switch {
	case len(live) == 0 && denied != nil:
		return nil, denied
	case len(live) == 0:
		return nil, errors.New("no launcher was found; is cleat run running here, and is CLEAT_SOCKET the same as there?")
	case len(live) > 1 && !live[0].main:
		paths := make([]string, 0, len(live))
		for _, f := range live {
			paths = append(paths, f.path)
		}
		return nil, fmt.Errorf("several launchers run here; say which one with -socket: %s", strings.Join(paths, ", "))
	}
	return &Client{live[0].path, live[0].uid}, nil
}

// rank tells how well a socket suits: more is better.
func (s Surroundings) rank(f found) int {
	rank := 1
	if f.uid == -1 || f.uid == 0 || f.uid == s.UID {
		rank += 2
	}
	if f.main {
		rank++
	}
	return rank
}

// Path returns where the socket is.
func (c *Client) Path() string { return c.path }

// Status asks how everything is. A launcher that does not answer is an error.
func (c *Client) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime+statusTime)
	defer cancel()
	var s Status
	err := c.ask(ctx, http.MethodGet, "/status", nil, &s)
	return s, err
}

// Do asks for something other than the status, and returns what was done. It
// waits until that is done, or ctx ends. A refusal is a *RefusedError.
func (c *Client) Do(ctx context.Context, do Do, with Body) (string, error) {
	var body []byte
	if do == DoSet || do == DoReport {
		var err error
		if body, err = json.Marshal(with); err != nil {
			return "", err
		}
	}
	var done Done
	err := c.ask(ctx, http.MethodPost, "/"+string(do), body, &done)
	return done.Done, err
}

// ask sends one request and reads the answer into v.
func (c *Client) ask(ctx context.Context, method, path string, body []byte, v any) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	broken := func(err error) error {
		if ctx.Err() != nil {
			return fmt.Errorf("the launcher at %s does not answer", c.path)
		}
		return fmt.Errorf("the launcher at %s went away while it was asked: %w", c.path, err)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://cleat"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if err := request.Write(conn); err != nil && !errors.Is(err, syscall.EPIPE) { // it may have refused already
		return broken(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return broken(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		return broken(err)
	}
	if response.StatusCode != http.StatusOK {
		var p registry.Problem
		if json.Unmarshal(answer, &p) != nil || p.Error == "" {
			return fmt.Errorf("%s answered with status %d; is it a launcher's socket?", c.path, response.StatusCode)
		}
		return &RefusedError{Wrong: response.StatusCode == http.StatusBadRequest, Problem: p}
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("cannot read what %s answered: %w", c.path, err)
	}
	return nil
}

// dial connects to the launcher, and looks whether it is whom it has to be.
func (c *Client) dial(ctx context.Context) (*net.UnixConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no launcher's socket at %s", c.path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no launcher listens on %s any more", c.path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("user %d cannot reach the launcher's socket: %w", os.Geteuid(), bareDial(err, c.path))
	case err != nil:
		return nil, bareDial(err, c.path)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%s is no unix socket", c.path)
	}
	if uid, err := peerUser(u); c.uid >= 0 && (err != nil || uid != c.uid) {
		conn.Close()
		return nil, cmp.Or(err, fmt.Errorf("somebody else than user %d listens on %s", c.uid, c.path))
	}
	return u, nil
}

func bareDial(err error, path string) error {
	if inner, ok := errors.AsType[syscall.Errno](err); ok {
		err = inner
	}
	return fmt.Errorf("cannot connect to %s: %w", path, err)
}
