package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stranger is a user who is neither root nor anybody else here.
const stranger = 54321

// TestMain is also the program that others run as, to ask as another user.
func TestMain(m *testing.M) {
	switch how, path, _ := strings.Cut(os.Getenv("CONTROL_TEST_ASK"), ":"); how {
	case "":
		os.Exit(m.Run())
	case "hold":
		hold(path)
	default:
		fmt.Println(asked(NewClient(path), Do(how)))
	}
}

// asked asks, and tells what came of it in one line.
func asked(c *Client, do Do) string {
	if do == DoStatus {
		status, err := c.Status(context.Background())
		if err != nil {
			return "error: " + err.Error()
		}
		return "status: " + status.ID
	}
	done, err := c.Do(context.Background(), do, Body{Changes: []string{"tag+=x"}})
	if err != nil {
		return "error: " + err.Error()
	}
	return "done: " + done
}

// hold keeps as many connections open as it can, until its stdin ends.
func hold(path string) {
	var conns []net.Conn
	for range 3 * mostReaders {
		if conn, err := net.Dial("unix", path); err == nil {
			conns = append(conns, conn)
		}
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
	for _, conn := range conns {
		conn.Close()
	}
}

// as returns the command that asks as another user.
func as(t *testing.T, uid int, ask, path string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"CONTROL_TEST_ASK=" + ask + ":" + path, "GORACE=atexit_sleep_ms=0"} // a second for each, else
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	cmd.Dir = "/"
	return cmd
}

// place is a directory that everybody can reach.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// launcher is a launcher's loop that answers everything.
type launcher struct {
	path string
	stop func()
	end  chan error

	mu    sync.Mutex
	asked []Request
}

// launch serves a socket in a directory of its own. answer is called for each
// request, one at a time; nil: everything is done.
func launch(t *testing.T, answer func(Request)) *launcher {
	t.Helper()
	l := &launcher{path: filepath.Join(place(t), "s")}
	socket, err := Listen([]Place{{Path: l.path}}, Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	requests, end := make(chan Request), make(chan error, 1)
	go func() { end <- socket.Serve(ctx, requests) }()
	var looping sync.WaitGroup
	looping.Go(func() {
		for {
			select {
			case r := <-requests:
				l.mu.Lock()
				l.asked = append(l.asked, r)
				l.mu.Unlock()
				if answer != nil {
					answer(r)
				} else if r.Do == DoStatus {
					r.Reply(Answer{Status: &Status{ID: "me", Healthy: true, Why: "well"}})
				} else {
					r.Reply(Answer{Done: "did " + string(r.Do)})
				}
			case <-ctx.Done():
				return
			}
		}
	})
	l.end = end
	var once sync.Once
	l.stop = func() {
		once.Do(func() {
			cancel()
			looping.Wait()
		})
	}
	t.Cleanup(func() {
		l.stop()
		select {
		case err := <-end:
			if err != nil {
				t.Errorf("serving ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("serving has not ended")
		}
	})
	return l
}

// requests returns what has reached the loop.
func (l *launcher) requests() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Request(nil), l.asked...)
}

func listening(t *testing.T, path string) *Socket {
	t.Helper()
	s, err := Listen([]Place{{Path: path}}, Surroundings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// leaveStale leaves a socket behind as a launcher does that is killed.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := net.Dial("unix", path); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("the socket is not stale: %v", err)
	}
}
