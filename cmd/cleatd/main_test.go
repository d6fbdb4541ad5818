package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program makes this test binary, when it runs as a child, cleatd itself.
const program = "TEST_BE_CLEATD"

func TestMain(m *testing.M) {
	if os.Getenv(program) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestSettings(t *testing.T) {
	tests := []struct {
		name    string
		args    string
		environ []string
		says    []string // in the errors; none: it is accepted
	}{
		{"nothing", "", nil, nil},
		{"everything", "-listen [::1]:0 -open -warming 30s -log json -log-level debug -max-sessions 10 -name a", nil, nil},
		{"the environment", "", []string{"CLEATD_LISTEN=localhost:0", "CLEATD_OPEN=true", "CLEATD_WARMING=0", "CLEATD_LOG=json", "CLEATD_LOG_LEVEL=warn", "CLEATD_MAX_SESSIONS=10", "CLEATD_NAME=a"}, nil},
		{"empty is as good as not there", "", []string{"CLEATD_LISTEN=", "CLEATD_WARMING="}, nil},
		{"a flag wins", "-max-sessions 5", []string{"CLEATD_MAX_SESSIONS=-1"}, nil},
		{"other machines", "-listen 0.0.0.0:9640", nil, []string{`-listen is "0.0.0.0:9640"`, "-open"}},
		{"other machines by variable", "", []string{"CLEATD_LISTEN=:9640"}, []string{`CLEATD_LISTEN is ":9640"`, "-open"}},
		{"other machines by name", "-listen example.com:9640", nil, []string{"-open"}},
		{"other machines and open", "-listen 0.0.0.0:9640 -open", nil, nil},
		{"no port", "-listen localhost", nil, []string{"host:port"}},
		{"a bad port", "-listen localhost:99999", nil, []string{"99999", "65535"}},
		{"an empty port", "-listen localhost:", nil, []string{"port"}},
		{"a bad duration", "-warming soon", nil, []string{`-warming is "soon"`, "30s"}},
		{"a negative duration", "-warming -1s", nil, []string{`-warming is "-1s"`}},
		{"a bad format", "-log xml", nil, []string{`-log is "xml"`, "text or json"}},
		{"a bad level", "-log-level loud", nil, []string{`-log-level is "loud"`, "debug, info, warn or error"}},
		{"no sessions", "-max-sessions 0", nil, []string{`-max-sessions is "0"`}},
		{"no number", "-max-sessions many", nil, []string{"many", "-max-sessions"}},
		{"no number in a variable", "", []string{"CLEATD_MAX_SESSIONS=many"}, []string{`CLEATD_MAX_SESSIONS is "many"`}},
		{"other machines and tokens", "-listen 0.0.0.0:9640 -dns :53 -tokens f", nil, nil},
		{"tokens and open", "-open -tokens f", nil, []string{`-open is "true"`, "-tokens says who may do what"}},
		{"a certificate without its key", "-cert c", nil, []string{`-cert is "c"`, "-key"}},
		{"a key without its certificate", "", []string{"CLEATD_KEY=k"}, []string{`CLEATD_KEY is "k"`, "-cert"}},
		{"clients' certificates without TLS", "-client-ca c", nil, []string{`-client-ca is "c"`, "-cert and -key"}},
		{"TLS", "-cert c -key k -client-ca ca", nil, nil},
		{"no truth", "-open=perhaps", nil, []string{`-open is "perhaps"`, "true or false"}},
		{"a long shutdown", "-shutdown 1h", nil, []string{`-shutdown is "1h"`, "5m"}},
		{"an unknown flag", "-nothing /tmp", nil, []string{"-nothing", "-help"}},
		{"an argument", "start", nil, []string{`"start"`}},
		{"a misspelt variable", "", []string{"CLEATD_LISTN=localhost:0"}, []string{"CLEATD_LISTN", "CLEATD_LISTEN"}},
		{"variables of Kubernetes", "", []string{"CLEATD_SERVICE_HOST=10.0.0.1", "CLEATD_PORT=tcp://10.0.0.1:9640", "CLEATD_PORT_9640_TCP_ADDR=10.0.0.1"}, nil},
		{"all at once", "-log xml -max-sessions 0", []string{"CLEATD_WARMING=soon", "CLEATD_X=y"}, []string{"-log", "-max-sessions", "CLEATD_WARMING", "CLEATD_X"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(strings.Fields(test.args), test.environ, io.Discard)
			if len(test.says) == 0 {
				if err != nil {
					t.Fatalf("got %v", err)
				}
				if s.listen == "" || s.maxSessions <= 0 {
					t.Errorf("got %+v", s)
				}
				return
			}
			if err == nil {
				t.Fatalf("accepted as %+v", s)
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("the error does not say %q:\n%v", says, err)
				}
			}
		})
	}
}

func TestValues(t *testing.T) {
	s, err := parse([]string{"-warming", "0"}, []string{"CLEATD_LISTEN=localhost:1", "CLEATD_OPEN=1"}, io.Discard)
	if err != nil || s.listen != "localhost:1" || !s.open || s.warming == nil || *s.warming != 0 {
		t.Errorf("got %+v, %v", s, err)
	}
	s, err = parse(nil, nil, io.Discard)
	if err != nil || s.listen != "127.0.0.1:9640" || s.open || s.warming != nil || s.log != "text" {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestHelpAndVersion(t *testing.T) {
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"-help"}, nil, &out, &errs); code != exitOK || errs.Len() != 0 {
		t.Errorf("-help: exit %d, stderr %q", code, errs.String())
	}
	for _, flag := range []string{"-listen", "-open", "-tokens", "-cert", "-key", "-client-ca", "-shutdown", "cleatd token new", "Who may reach it", "-warming", "-log", "-log-level", "-max-sessions", "-name", "-version", "CLEATD_", "CLEAT_SERVER"} {
		if !strings.Contains(out.String(), flag) {
			t.Errorf("-help does not tell of %s", flag)
		}
	}
	out.Reset()
	if code := run(t.Context(), []string{"-version"}, nil, &out, &errs); code != exitOK || !strings.HasPrefix(out.String(), "cleatd ") {
		t.Errorf("-version: exit %d, %q", code, out.String())
	}
	if code := run(t.Context(), []string{"-log", "xml", "-warming", "x"}, nil, &out, &errs); code != exitSettings || strings.Count(errs.String(), "cleatd: ") != 2 {
		t.Errorf("bad settings: exit %d, %q; want each on its own line", code, errs.String())
	}
}

func TestAddressInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var errs strings.Builder
	if code := run(t.Context(), []string{"-listen", listener.Addr().String()}, nil, io.Discard, &errs); code != exitFailed || !strings.Contains(errs.String(), listener.Addr().String()) {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}

// daemon is cleatd as a process of its own.
type daemon struct {
	*exec.Cmd
	address string
	log     *bufio.Reader
}

func start(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := &daemon{Cmd: exec.Command(os.Args[0], append([]string{"-listen", "127.0.0.1:0", "-log", "json"}, args...)...)}
	d.Env = append(os.Environ(), program+"=1")
	stderr, err := d.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Process.Kill() })
	d.log = bufio.NewReader(stderr)
	for d.address == "" {
		line, err := d.log.ReadString('\n')
		if err != nil {
			t.Fatalf("cleatd ended before it listened: %v", err)
		}
		var entry struct{ Msg, Address string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the log has %q: %v", line, err)
		}
		if entry.Msg == "cleatd listens" {
			d.address = entry.Address
		}
	}
	return d
}

func TestProcess(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			d := start(t)
			response, err := http.Get("http://" + d.address + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("status %d", response.StatusCode)
			}
			limit := openFiles(t, d.Process.Pid)
			if limit[0] != limit[1] {
				t.Errorf("the limit on file descriptors is %v; want the soft one raised to the hard one", limit)
			}
			begin := time.Now()
			d.Process.Signal(signal)
			go io.Copy(io.Discard, d.log)
			if err := d.Wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("it took %v to end", took)
			}
		})
	}
}

// openFiles returns the soft and the hard limit of a process.
func openFiles(t *testing.T, pid int) []string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Skipf("needs /proc to look at another process's limits: %v", err)
	}
	m := regexp.MustCompile(`Max open files +(\S+) +(\S+)`).FindStringSubmatch(string(data))
	if m == nil {
		t.Fatalf("no limit in %s", data)
	}
	return m[1:]
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"-listen", "127.0.0.1:0"}, nil, io.Discard, writer)
		writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	for lines.Scan() && !strings.Contains(lines.Text(), "cleatd listens") {
	}
	cancel()
	go io.Copy(io.Discard, reader)
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
}
