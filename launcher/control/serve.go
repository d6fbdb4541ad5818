package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"cleat/registry"
)

const (
	// askTime is how long somebody may take to say what is asked, and to read
	// the answer.
	askTime = 3 * time.Second
	// statusTime is how long the launcher may take to tell its status. Its loop
	// never waits, so that this is very long.
	statusTime = 3 * time.Second
	// doTime is how long it may take to do something: a drain waits for those
	// who use the container. The launcher has bounds of its own, this is the last.
	doTime = 10 * time.Minute
	// mostRequest is the size in bytes of the largest request, headers included.
	mostRequest = 64 << 10
	// mostOwners is how many connections there may be at a time of those who may
	// ask for everything, and mostReaders how many of all others.
	mostOwners  = 16
	mostReaders = 16
	// acceptPause is how long to wait after a failed accept (no descriptors are
	// left).
	acceptPause = 100 * time.Millisecond
)

// questions are what may be asked: by path.
var questions = map[string]struct {
	method string
	do     Do
}{
	"/status":  {http.MethodGet, DoStatus},
	"/healthz": {http.MethodGet, DoStatus},
	"/drain":   {http.MethodPost, DoDrain},
	"/undrain": {http.MethodPost, DoUndrain},
	"/reload":  {http.MethodPost, DoReload},
	"/restart": {http.MethodPost, DoRestart},
	"/set":     {http.MethodPost, DoSet},
	"/report":  {http.MethodPost, DoReport},
}

// Done is the body of the answer to what was done.
type Done struct {
	Done string `json:"done"`
}

// Body is the body of POST /set and POST /report.
type Body struct {
	Changes []string        `json:"changes,omitempty"` // of set
	Status  registry.Status `json:"status,omitempty"`  // of report
	Text    string          `json:"text,omitempty"`    // of report
	Port    string          `json:"port,omitempty"`    // absent: all
}

// expectedBody is what a body looks like.
var expectedBody = map[Do]string{
	DoSet:    `expected {"changes":["tag+=primary"],"port":"3306"}`,
	DoReport: `expected {"status":"passing","text":"all is well","port":"3306"}`,
}

// ParseReport parses a status that a child may report.
func ParseReport(text string) (registry.Status, error) {
	if status := registry.Status(text); status.Serving() || status == registry.Critical {
		return status, nil
	}
	return "", fmt.Errorf("%q cannot be reported; expected passing, warning or critical", shorten(text))
}

// Serve hands the requests of those who connect to the launcher, and its answers
// back, until ctx ends. It closes the socket, and returns when nobody is
// connected any more, which it sees to.
func (s *Socket) Serve(ctx context.Context, requests chan<- Request) error {
	v := &server{requests: requests, own: os.Geteuid(), owners: make(chan struct{}, mostOwners), readers: make(chan struct{}, mostReaders)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	defer s.Close()
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		uid, err := peerUser(conn)
		if err != nil {
			conn.Close()
			continue
		}
		places := v.readers
		if may(uid, v.own, DoRestart) {
			places = v.owners
		}
		select {
		case places <- struct{}{}:
			serving.Go(func() {
				defer func() { <-places }()
				v.serve(ctx, conn, uid)
			})
		default:
			// What fits into the socket's buffer does not wait for anybody.
			_ = conn.SetDeadline(time.Now().Add(askTime))
			_ = problem(http.StatusServiceUnavailable, "too many ask at the same time", "try again").Write(conn)
			conn.Close()
		}
	}
}

// server is what all connections share.
type server struct {
	requests        chan<- Request
	own             int // the launcher's user
	owners, readers chan struct{}
}

// serve answers the one request of a connection.
func (v *server) serve(ctx context.Context, conn *net.UnixConn, uid int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// At the end, whoever reads or writes stops at once.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer conn.Close()
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(askTime))
	limit := &io.LimitedReader{R: conn, N: mostRequest}
	request, err := http.ReadRequest(bufio.NewReader(limit))
	if err != nil {
		if limit.N <= 0 {
			_ = problem(http.StatusRequestEntityTooLarge, "the request is too long", "").Write(conn)
		} else if !errors.Is(err, io.EOF) {
			_ = problem(http.StatusBadRequest, "this is no HTTP request", "").Write(conn)
		}
		return
	}
	ask, refused := v.question(request, uid, limit)
	if refused != nil {
		_ = refused.Write(conn)
		return
	}
	// Whoever goes away is not waited for any longer.
	_ = conn.SetReadDeadline(time.Time{})
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, conn) // ends with the connection, or with ctx
	})
	answer := v.pass(ctx, request.URL.Path, ask)
	_ = conn.SetWriteDeadline(time.Now().Add(askTime))
	if ctx.Err() == nil {
		_ = answer.Write(conn)
	}
}

// question reads what is asked, and looks whether that user may.
func (v *server) question(r *http.Request, uid int, limit *io.LimitedReader) (Request, *http.Response) {
	q, found := questions[r.URL.Path]
	switch {
	case !found:
		return Request{}, problem(http.StatusNotFound, fmt.Sprintf("there is nothing at %q", shorten(r.URL.Path)), "GET /status, GET /healthz, or POST to /drain, /undrain, /reload, /restart, /set, /report")
	case r.Method != q.method:
		refused := problem(http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s only", r.URL.Path, q.method), "")
		refused.Header.Set("Allow", q.method)
		return Request{}, refused
	case !may(uid, v.own, q.do):
		hint := fmt.Sprintf("ask as root: docker exec -u 0 CONTAINER cleat %s", q.do)
		return Request{}, problem(http.StatusForbidden, fmt.Sprintf("user %d may only read the status and report; %s is for %s", uid, q.do, owners(v.own)), hint)
	}
	ask := Request{Do: q.do}
	if q.do != DoSet && q.do != DoReport {
		return ask, nil
	}
	var body Body
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		if limit.N <= 0 {
			return Request{}, problem(http.StatusRequestEntityTooLarge, "the request is too long", fmt.Sprintf("at most %d bytes", mostRequest))
		}
		return Request{}, problem(http.StatusBadRequest, "the body is not as it has to be", expectedBody[q.do]+", the port only where one is meant")
	}
	var err error
	if ask.Port, err = ParsePort(body.Port); err != nil {
		return Request{}, problem(http.StatusBadRequest, err.Error(), "")
	}
	if q.do == DoReport {
		ask.Text = body.Text
		if ask.Status, err = ParseReport(string(body.Status)); err != nil {
			return Request{}, problem(http.StatusBadRequest, err.Error(), "")
		}
		return ask, nil
	}
	for _, text := range body.Changes {
		change, err := ParseChange(text)
		if err != nil {
			return Request{}, problem(http.StatusBadRequest, err.Error(), "")
		}
		ask.Changes = append(ask.Changes, change)
	}
	if len(ask.Changes) == 0 {
		return Request{}, problem(http.StatusBadRequest, "nothing is to be changed", "say what, such as tag+=primary")
	}
	return ask, nil
}

// pass hands the question to the launcher's loop and waits for the answer.
func (v *server) pass(ctx context.Context, path string, ask Request) *http.Response {
	limit := doTime
	if ask.Do == DoStatus {
		limit = statusTime
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ask.reply, ask.gone = make(chan Answer, 1), bounded.Done()
	busy := problem(http.StatusServiceUnavailable, "the launcher does not answer", "it may be about to end")
	select {
	case v.requests <- ask:
	case <-bounded.Done():
		return busy
	}
	select {
	case answer := <-ask.reply:
		return response(path, answer)
	case <-bounded.Done():
		return busy
	}
}

// response is an answer as it goes over the socket.
func response(path string, a Answer) *http.Response {
	switch {
	case a.Refused != nil && a.Refused.Wrong:
		return answer(http.StatusBadRequest, a.Refused.Problem)
	case a.Refused != nil:
		return answer(http.StatusConflict, a.Refused.Problem)
	case a.Status == nil:
		return answer(http.StatusOK, Done{a.Done})
	case path != "/healthz":
		return answer(http.StatusOK, a.Status)
	case !a.Status.Healthy:
		return problem(http.StatusServiceUnavailable, a.Status.Why, "")
	}
	return answer(http.StatusOK, Done{a.Status.Why})
}

func problem(code int, text, hint string) *http.Response {
	return answer(code, registry.Problem{Error: text, Hint: hint})
}

func answer(code int, body any) *http.Response {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(body) // of types that can always be encoded, into memory
	return &http.Response{
		StatusCode: code, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header:        http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}},
		ContentLength: int64(b.Len()),
		Body:          io.NopCloser(&b),
	}
}

func owners(own int) string {
	if own == 0 {
		return "root, as which cleat runs"
	}
	return fmt.Sprintf("root and for user %d, as which cleat runs", own)
}
