package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

func TestStatusAsCurlReadsIt(t *testing.T) {
	l := launch(t, nil)
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", l.path)
		},
	}}
	response, err := client.Get("http://cleat/status")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var status Status
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || status.ID != "me" || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %v %v", response.StatusCode, response.Header, status)
	}
}

func TestEveryQuestionReachesTheLauncher(t *testing.T) {
	l := launch(t, nil)
	for _, do := range []Do{DoDrain, DoUndrain, DoReload, DoRestart, DoSet} {
		if got, want := asked(NewClient(l.path), do), "done: did "+string(do); got != want {
			t.Errorf("got %q, expected %q", got, want)
		}
	}
	done, err := NewClient(l.path).Do(t.Context(), DoSet, Body{Changes: []string{"tag+=a", "attr.role="}, Port: "53/udp"})
	if err != nil || done != "did set" {
		t.Errorf("got %q, %v", done, err)
	}
	all := l.requests()
	last := all[len(all)-1]
	if len(last.Changes) != 2 || last.Changes[0].Tag != "a" || !last.Changes[1].Remove || last.Port != (Port{53, registry.UDP}) {
		t.Errorf("the launcher was asked for %+v", last)
	}
}

func TestRefusals(t *testing.T) {
	l := launch(t, func(r Request) {
		r.Reply(Answer{Refused: &RefusedError{Wrong: r.Do == DoSet, Problem: registry.Problem{Error: "no", Hint: "later"}}})
	})
	for do, wrong := range map[Do]bool{DoRestart: false, DoSet: true} {
		_, err := NewClient(l.path).Do(t.Context(), do, Body{Changes: []string{"tag+=a"}})
		refused, ok := err.(*RefusedError)
		if !ok || refused.Wrong != wrong || err.Error() != "no; later" {
			t.Errorf("%s: got %#v", do, err)
		}
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	l := launch(t, nil)
	set := func(body string) string {
		return fmt.Sprintf("POST /set HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                            "404",
		"POST /status HTTP/1.1\r\nHost: x\r\n\r\n":                     "405",
		"GET /drain HTTP/1.1\r\nHost: x\r\n\r\n":                       "405",
		"hello\r\n\r\n":                                                "400",
		"\x00\x01\x02\r\n\r\n":                                         "400",
		"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":                     "200",
		"GET /status HTTP/1.0\r\n\r\n":                                 "200",
		set("{}"):                                                      "400",
		set(`{"changes":`):                                             "400",
		set(`{"changes":["role=x"]}`):                                  "400",
		set(`{"changes":["tag+=x"],"port":"x"}`):                       "400",
		set(`{"changes":["tag+=` + strings.Repeat("x", 1<<20) + `"]}`): "413",
		"GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\n\r\n":     "413",
		"GET /status HTTP/1.1\r\nA: " + strings.Repeat("x", 1<<20):     "413",
	} {
		short := request[:min(len(request), 60)]
		conn, err := net.Dial("unix", l.path)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(conn, request) //nolint:errcheck // refused in the middle
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 "+want) {
			t.Errorf("%q: got %q, %v; expected %s", short, answer, err, want)
		}
		conn.Close()
	}
	for _, r := range l.requests() {
		if r.Do != DoStatus {
			t.Errorf("%s has reached the launcher", r.Do)
		}
	}
}

func TestOthersMayOnlyRead(t *testing.T) {
	l := launch(t, nil)
	out, err := as(t, stranger, "status", l.path).Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "status: me" {
		t.Errorf("status: got %q, %v", got, err)
	}
	for _, do := range []Do{DoDrain, DoUndrain, DoReload, DoRestart, DoSet} {
		out, err := as(t, stranger, string(do), l.path).Output()
		want := fmt.Sprintf("error: user %d may only read the status and report; %s is for root, as which cleat runs; ask as root: docker exec -u 0 CONTAINER cleat %s", stranger, do, do)
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: got %q, %v; expected %q", do, got, err, want)
		}
	}
	for _, r := range l.requests() {
		if r.Do != DoStatus {
			t.Errorf("%s has reached the launcher", r.Do)
		}
	}
}

func TestWhoMay(t *testing.T) {
	for _, test := range []struct {
		uid, own int
		do       Do
		want     bool
	}{
		{0, 0, DoRestart, true}, {0, 1000, DoSet, true}, {1000, 1000, DoDrain, true},
		{1000, 0, DoReload, false}, {1001, 1000, DoUndrain, false}, {1001, 1000, DoStatus, true}, {1001, 1000, DoReport, true},
	} {
		if got := may(test.uid, test.own, test.do); got != test.want {
			t.Errorf("user %d of %d, %s: %v", test.uid, test.own, test.do, got)
		}
	}
}

// A stranger who takes all connections that there are for such as him does not
// keep the owner out.
func TestReadersDoNotKeepOwnersOut(t *testing.T) {
	l := launch(t, nil)
	cmd := as(t, stranger, "hold", l.path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if got := asked(NewClient(l.path), DoRestart); got != "done: did restart" {
		t.Errorf("the owner: %s", got)
	}
	if got, err := as(t, stranger, "status", l.path).Output(); err != nil || !strings.Contains(string(got), "too many ask at the same time; try again") {
		t.Errorf("one more stranger: %s, %v", got, err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	// Their places are free again.
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if got, err := as(t, stranger, "status", l.path).Output(); err == nil && string(got) == "status: me\n" {
			break
		} else if time.Now().After(end) {
			t.Fatalf("a stranger later: %s, %v", got, err)
		}
	}
}

// Somebody who says nothing, and somebody who says half of it, are sent away.
func TestTheSilentAreSentAway(t *testing.T) {
	t.Parallel() // it takes as long as they may be silent
	l := launch(t, nil)
	var conns []net.Conn
	for _, text := range []string{"", "GET /status HTT"} {
		conn, err := net.Dial("unix", l.path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		_ = conn.SetDeadline(time.Now().Add(askTime + 2*time.Second))
		if _, err := io.ReadAll(conn); os.IsTimeout(err) {
			t.Errorf("the connection is still there after %v", askTime+2*time.Second)
		}
	}
}

func TestServeEndsAtOnce(t *testing.T) {
	reached := make(chan Request, 1)
	l := launch(t, func(r Request) { reached <- r }) // never answered
	silent, err := net.Dial("unix", l.path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answer := make(chan string, 1)
	go func() { answer <- asked(NewClient(l.path), DoDrain) }()
	r := <-reached
	if r.Gone() {
		t.Error("somebody waits for the answer, and is said to have gone")
	}
	began := time.Now()
	l.stop()
	if err := <-l.end; err != nil {
		t.Errorf("serving ended with %v", err)
	}
	l.end <- nil // for the clean-up
	if took := time.Since(began); took > time.Second {
		t.Errorf("the end took %v", took)
	}
	if got := <-answer; !strings.HasPrefix(got, "error: ") {
		t.Errorf("got %q", got)
	}
	if _, err := os.Lstat(l.path); err == nil {
		t.Error("the socket is still there")
	}
	r.Reply(Answer{Done: "too late"}) // harms nobody
}

func TestWhoGoesAwayIsNotWaitedFor(t *testing.T) {
	reached := make(chan Request, 1)
	l := launch(t, func(r Request) { reached <- r })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := NewClient(l.path).Do(ctx, DoDrain, Body{})
		ended <- err
	}()
	r := <-reached
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error for an answer that did not come")
	}
	select {
	case <-r.gone:
	case <-time.After(5 * time.Second):
		t.Error("the launcher is not told that nobody waits any more")
	}
}

func TestHealthz(t *testing.T) {
	for _, healthy := range []bool{true, false} {
		l := launch(t, func(r Request) { r.Reply(Answer{Status: &Status{Healthy: healthy, Why: "so it is"}}) })
		conn, err := net.Dial("unix", l.path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") //nolint:errcheck // the answer tells
		answer, _ := io.ReadAll(conn)
		want := map[bool]string{true: "HTTP/1.1 200", false: "HTTP/1.1 503"}[healthy]
		if !strings.HasPrefix(string(answer), want) || !strings.Contains(string(answer), "so it is") {
			t.Errorf("healthy %v: got %q", healthy, answer)
		}
	}
}
