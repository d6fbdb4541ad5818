package e2e

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// debianImageOnce is Dockerfile.base on Debian with nginx and MariaDB, with the test child and what the two are
// configured with. Nothing in it knows an address.
var debianImageOnce = sync.OnceValues(func() (string, error) {
	debian, err := debian()
	if err != nil {
		return "", err
	}
	base, err := baseImage("debian-base", debian)
	if err != nil {
		return "", err
	}
	b, err := build()
	if err != nil {
		return "", err
	}
	return withPrograms("debian", base, "COPY nginx.conf.tmpl init.sql /\n",
		map[string]string{"nginx.conf.tmpl": nginxTemplate, "init.sql": initSQL}, b.testchild)
})

func debianImage(t *testing.T) func() (string, error) {
	t.Helper()
	needsDebian(t)
	return debianImageOnce
}

// nginxTemplate makes a front that never tries a second upstream, so that no failure is hidden.
const nginxTemplate = `worker_processes 2;
error_log /dev/stderr warn;
pid /run/nginx.pid;
events {
    worker_connections 1024;
}
http {
    access_log off;
    upstream web {
{{each web}}
        server {{addr}} max_fails=0; # {{id}}
{{end}}
    }
    server {
        listen 80;
        location / {
            proxy_pass http://web;
            proxy_next_upstream off;
            proxy_connect_timeout 2s;
        }
    }
}
`

const initSQL = `CREATE DATABASE IF NOT EXISTS app;
CREATE USER IF NOT EXISTS app@'%';
GRANT ALL ON app.* TO app@'%';
CREATE TABLE IF NOT EXISTS app.notes (id BIGINT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(64) NOT NULL);
`

// yard is a docker network with a place for a server, and the containers on it.
type yard struct {
	t      *testing.T
	name   string
	server netip.Addr
	image  string
}

// networkAttempts is how many ranges are tried; one may be taken by another network of this machine.
const networkAttempts = 20

func newYard(t *testing.T, image string) *yard {
	t.Helper()
	y := &yard{t: t, image: image}
	var err error
	for range networkAttempts {
		third := make([]byte, 1)
		_, _ = rand.Read(third)
		y.name = "cleat-e2e-" + run + "-" + strconv.Itoa(int(third[0]))
		y.server = netip.AddrFrom4([4]byte{10, 213, third[0], 200})
		if _, err = docker("network", "create", "--label", dockerLabel+"="+run, "--subnet", fmt.Sprintf("10.213.%d.0/24", third[0]), y.name); err == nil {
			t.Cleanup(func() { _, _ = docker("network", "rm", y.name) })
			return y
		}
	}
	t.Fatal(err)
	return nil
}

func (y *yard) api() string { return fmt.Sprintf("http://%s:9640", y.server) }

// startServer starts cleatd at the address that launchers were told.
func (y *yard) startServer() *container {
	y.t.Helper()
	return runContainer(y.t, "cleatd", "--network", y.name, "--ip", y.server.String(), must(y.t, serverImage),
		"-listen", ":9640", "-open")
}

// run starts a container with cleat as its PID 1. settings are environment variables.
func (y *yard) run(name string, settings []string, command ...string) *container {
	y.t.Helper()
	options := []string{"--network", y.name, "-e", "CLEAT_SERVER=" + y.api(), "-e", "CLEAT_ID=" + name, "-e", "CLEAT_LOG_LEVEL=debug"}
	for _, s := range settings {
		options = append(options, "-e", s)
	}
	return runContainer(y.t, name, append(append(options, y.image), command...)...)
}

func (y *yard) web(name string) *container {
	y.t.Helper()
	return y.run(name, []string{"SERVICE_8080_NAME=web"}, "/testchild", "web", "-listen", ":8080", "-name", name)
}

// database starts a MariaDB of its own, with nothing in it but the empty table.
func (y *yard) database(name string) *container {
	y.t.Helper()
	return y.run(name, []string{"SERVICE_3306_NAME=mysql", "SERVICE_TAGS=primary"},
		"mariadbd", "--user=mysql", "--bind-address=0.0.0.0", "--skip-name-resolve", "--init-file=/init.sql")
}

func (y *yard) front(name, action string) *container {
	y.t.Helper()
	return y.run(name, []string{
		"SERVICE_80_NAME=front",
		"CLEAT_REQUIRE_WEB=web",
		"CLEAT_TEMPLATE_NGINX=/nginx.conf.tmpl:/etc/nginx/nginx.conf:" + action,
		"CLEAT_TEMPLATE_NGINX_CHECK=nginx -t -q -c {{staged}}",
	}, "nginx", "-g", "daemon off;")
}

func (y *yard) waitPassing(service string, want int) {
	y.t.Helper()
	WaitFor(y.t, softwareStart, func() error { return passing(y.api(), service, want) })
}

// softwareStart is how long real software may take to start on a busy machine.
const softwareStart = 60 * time.Second

// startWrk puts load on a URL from a container beside the others. Every request has a connection of its own, since a
// server that reloads closes idle ones, and a client that sends just then cannot know. It gets a part of a core, so that
// a small machine has something left for what is tested.
func (y *yard) startWrk(url string, during time.Duration) *container {
	y.t.Helper()
	return runContainer(y.t, "wrk", "--network", y.name, "--cpus", "0.3", debianTag,
		"wrk", "-t", "1", "-c", "8", "-d", fmt.Sprintf("%ds", int(during.Seconds())), "-H", "Connection: close", url)
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in`)
	wrkErrors   = regexp.MustCompile(`(?m)(Socket errors|Non-2xx).*$`)
)

// wantNoFailure waits for the end of wrk and reads what it counted.
func wantNoFailure(t *testing.T, wrk *container, atLeast int) {
	t.Helper()
	wrk.wantExit(0)
	log := wrk.log()
	requests := wrkRequests.FindStringSubmatch(log)
	if requests == nil {
		t.Fatalf("wrk has not counted:\n%s", log)
	}
	count, err := strconv.Atoi(requests[1])
	if err != nil {
		t.Fatal(err)
	}
	if bad := wrkErrors.FindAllString(log, -1); len(bad) > 0 {
		t.Errorf("of %d requests some failed: %s", count, strings.Join(bad, "; "))
	}
	if count < atLeast {
		t.Errorf("%d requests, expected at least %d, or the test shows nothing", count, atLeast)
	}
	t.Logf("%d requests", count)
}

// knows returns an error unless nginx has been given exactly these backends. It asks nginx's file and not the server:
// the server would take the test for a reader who cannot acknowledge, and give every drain time for it.
func knows(front *container, backends ...*container) error {
	conf, err := docker("exec", front.id, "cat", "/etc/nginx/nginx.conf")
	if err != nil {
		return err
	}
	for _, b := range backends {
		if !strings.Contains(conf, "# "+b.name+":8080") {
			return fmt.Errorf("nginx does not know %s:\n%s", b.name, conf)
		}
	}
	if n := strings.Count(conf, ":8080 "); n != len(backends) {
		return fmt.Errorf("nginx has %d backends, expected %d:\n%s", n, len(backends), conf)
	}
	return nil
}

// TestNginxRelocation moves a web backend about behind nginx under load.
func TestNginxRelocation(t *testing.T) {
	t.Parallel()
	image := must(t, debianImage(t))
	for name, action := range map[string]string{"by signal": "HUP", "by command": "nginx -s reload"} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t, image)
			// In the wrong order: who needs first, who gives later, who brings them together last.
			front := y.front("front", action)
			backends := []*container{y.web("web-0"), y.web("web-1")}
			if strings.Contains(front.exec("/testchild", "ps"), "nginx") {
				t.Error("nginx was started without a backend")
			}
			server := y.startServer()
			WaitFor(t, softwareStart, func() error { return knows(front, backends...) })
			url := fmt.Sprintf("http://%s:80/", front.address())
			WaitFor(t, softwareStart, func() error { return getJSON(url, nil) })

			during := 22 * time.Second
			if *long {
				during = 2 * time.Minute
			}
			wrk := y.startWrk(url, during)
			began := time.Now()
			time.Sleep(time.Second) // of load on both
			moves := 0
			for ; time.Since(began) < during-12*time.Second; moves++ {
				leaving := backends[0]
				backends = append(backends, y.web(fmt.Sprintf("web-%d", moves+2)))
				WaitFor(t, 10*time.Second, func() error { return knows(front, backends...) })
				code, took := leaving.stop()
				t.Logf("move %d took %v", moves, took)
				if code != 0 {
					t.Errorf("%s exited with %d, expected 0", leaving.name, code)
				}
				if log := leaving.log(); !strings.Contains(log, "acknowledged=1 blind=false") {
					t.Errorf("the drain of %s was not acknowledged by nginx's launcher alone", leaving.name)
				}
				backends = backends[1:]
				WaitFor(t, 10*time.Second, func() error { return knows(front, backends...) })
			}
			if moves < 2 {
				t.Errorf("only %d moves in %v", moves, during)
			}
			wantNoFailure(t, wrk, 1000)
			for _, c := range append(backends, front, server) {
				if code, took := c.stop(); code != 0 {
					t.Errorf("%s exited with %d after %v, expected 0", c.name, code, took)
				}
			}
		})
	}
}

// TestDatabase wraps MariaDB and a client that writes to it and reads back, moves the database, kills it, and stops
// everything.
func TestDatabase(t *testing.T) {
	t.Parallel()
	y := newYard(t, must(t, debianImage(t)))
	app := y.run("app", []string{"SERVICE_8080_NAME=app", "CLEAT_REQUIRE_DB=mysql?tag=primary"}, "/testchild", "db", "-listen", ":8080")
	one := y.database("db-1")
	server := y.startServer()
	y.waitPassing("app", 1)

	// works waits until the client writes to and reads from that database.
	works := func(db *container) {
		t.Helper()
		want := netip.AddrPortFrom(db.address(), 3306).String()
		var first tally
		WaitFor(t, softwareStart, func() error {
			var now tally
			if err := getJSON(fmt.Sprintf("http://%s:8080/", app.address()), &now); err != nil {
				return err
			}
			if now.Address != want {
				return fmt.Errorf("client uses the database at %s, expected %s", now.Address, want)
			}
			if first.Succeeded == 0 {
				first = now
			}
			if now.Succeeded < first.Succeeded+10 {
				return fmt.Errorf("client has only done this: %+v", now)
			}
			return nil
		})
	}
	works(one)

	// Relocation: the client is moved before the first database stops, so it never sees one that is gone.
	two := y.database("db-2")
	y.waitPassing("mysql", 2)
	if code, took := one.stop("-t", "30"); code != 0 {
		t.Errorf("db-1 exited with %d after %v, expected 0", code, took)
	}
	works(two)
	if log := app.log(); strings.Contains(log, "failed:") {
		t.Errorf("the client has seen a failure in a relocation:\n%s", log)
	}

	// Killed with its launcher: the client keeps what it has, and is not stopped, until there is another one.
	mustDocker(t, "kill", "-s", "KILL", two.id)
	two.wantExit(137)
	y.waitPassing("mysql", 0)
	y.waitPassing("app", 1)
	three := y.database("db-3")
	works(three)

	for _, c := range []*container{app, three, server} {
		if code, took := c.stop("-t", "30"); code != 0 {
			t.Errorf("%s exited with %d after %v, expected 0", c.name, code, took)
		}
	}
}

// tally is what the test child's client of the database answers.
type tally struct {
	Address   string `json:"address"`
	Succeeded int    `json:"succeeded"`
	Failed    int    `json:"failed"`
	LastError string `json:"last_error"`
}
