package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

const (
	engineSocket = "/var/run/docker.sock"
	engineMount  = engineSocket + ":" + engineSocket
	cannotAsk    = "cannot ask the container engine which ports are published"
	seesAnother  = "the server sees another address than the one advertised"
)

// asksEngine starts a container that offers TCP 8080 and UDP 5353 by its name, by way of the engine if it can be asked.
func (y *yard) asksEngine(name string, options ...string) *container {
	y.t.Helper()
	all := []string{
		"--network", y.name, "-e", "CLEAT_SERVER=" + y.api(), "-e", "CLEAT_ID=" + name, "-e", "CLEAT_ADVERTISE=docker,route",
		"-e", "SERVICE_8080_NAME=" + name, "-e", "SERVICE_5353_UDP_NAME=" + name + "-udp",
	}
	all = append(append(all, options...), y.image, "/testchild", "listen", ":8080", "udp::5353")
	return runContainer(y.t, name, all...)
}

// reaches connects, or sends a datagram and waits for it to come back.
func reaches(network string, at netip.AddrPort) error {
	conn, err := net.DialTimeout(network, at.String(), 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if network == "tcp" {
		return nil
	}
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	word, got := []byte("cleat"), make([]byte, 16)
	if _, err := conn.Write(word); err != nil {
		return err
	}
	n, err := conn.Read(got)
	if err == nil && !bytes.Equal(got[:n], word) {
		err = fmt.Errorf("%q came back", got[:n])
	}
	return err
}

// publishedAt is where the engine says that a port is published.
func publishedAt(c *container, port string) netip.AddrPort {
	c.t.Helper()
	text := c.inspect(fmt.Sprintf(`{{with index (index .NetworkSettings.Ports %q) 0}}{{.HostIp}}:{{.HostPort}}{{end}}`, port))
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		c.t.Fatal(err)
	}
	return at
}

// TestPublishedPorts has the real engine publish ports, and asks it from within the containers. Whoever is on the host
// reaches what is registered.
func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	y := newYard(t, must(t, smallImage))
	y.startServer()
	gateway := y.server.As4()
	gateway[3] = 1
	host := netip.AddrFrom4(gateway) // the host's address on the engine's bridge
	_, other := secondNetwork(t)
	on := other.Addr().Next() // another address of the host
	sub := func(name string, test func(t *testing.T, y *yard)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, y.of(t))
		})
	}
	published := func(t *testing.T, y *yard, c *container, service, network, port string, addr netip.Addr) {
		t.Helper()
		want := netip.AddrPortFrom(addr, publishedAt(c, port).Port())
		at := y.waitWhere(service, netip.AddrPort.IsValid)
		if at != want {
			t.Errorf("%s is registered at %s, expected %s", service, at, want)
		}
		WaitFor(t, 10*time.Second, func() error { return reaches(network, at) })
	}
	own := func(t *testing.T, y *yard, c *container, service string, port uint16) {
		t.Helper()
		if at, want := y.waitWhere(service, netip.AddrPort.IsValid), netip.AddrPortFrom(c.address(), port); at != want {
			t.Errorf("%s is registered at %s, expected %s", service, at, want)
		}
	}
	sub("random", func(t *testing.T, y *yard) {
		// The hostname says nothing of the container's id.
		c := y.asksEngine("random", "-v", engineMount, "--hostname", "web-1", "-p", "0:8080", "-p", "0:5353/udp")
		published(t, y, c, "random", "tcp", "8080/tcp", host)
		published(t, y, c, "random-udp", "udp", "5353/udp", host)
		c.waitLog(10*time.Second, seesAnother) // an address on this host only
	})
	sub("specific", func(t *testing.T, y *yard) {
		c := y.asksEngine("specific", "-v", engineMount, "-p", on.String()+":0:8080")
		published(t, y, c, "specific", "tcp", "8080/tcp", on)
		own(t, y, c, "specific-udp", 5353) // is not published
		if strings.Contains(c.log(), seesAnother) {
			t.Error("it warns of an address that the engine was told")
		}
	})
	sub("named", func(t *testing.T, y *yard) {
		c := y.asksEngine("named", "-v", engineMount, "-p", "0:8080", "-e", "CLEAT_ADVERTISE=docker:env:HOST_IP,route", "-e", "HOST_IP="+on.String())
		published(t, y, c, "named", "tcp", "8080/tcp", on)
	})
	sub("loopback", func(t *testing.T, y *yard) {
		own(t, y, y.asksEngine("loopback", "-v", engineMount, "-p", "127.0.0.1:0:8080"), "loopback", 8080)
	})
	sub("elsewhere", func(t *testing.T, y *yard) {
		c := y.asksEngine("elsewhere", "-v", engineSocket+":/engine.sock", "-e", "DOCKER_HOST=unix:///engine.sock", "-p", "0:8080")
		published(t, y, c, "elsewhere", "tcp", "8080/tcp", host)
	})
	sub("found", func(t *testing.T, y *yard) {
		// A port that nobody has declared.
		c := runContainer(t, "found", "--network", y.name, "-e", "CLEAT_SERVER="+y.api(), "-e", "CLEAT_ADVERTISE=docker", "-e", "SERVICE_NAME=found",
			"-v", engineMount, "-p", "0:8080", y.image, "/testchild", "listen", ":8080")
		published(t, y, c, "found", "tcp", "8080/tcp", host)
	})
	sub("not-allowed", func(t *testing.T, y *yard) {
		c := y.asksEngine("not-allowed", "-v", engineMount, "--user", "65534:65534", "-p", "0:8080")
		own(t, y, c, "not-allowed", 8080)
		c.waitLog(10*time.Second, cannotAsk)
		if log := c.log(); !strings.Contains(log, engineSocket) || !strings.Contains(log, "permission denied") {
			t.Errorf("the warning does not say what is not allowed:\n%s", log)
		}
	})
	sub("allowed", func(t *testing.T, y *yard) {
		group, err := exec.Command("stat", "-c", "%g", engineSocket).Output()
		if err != nil {
			t.Fatal(err)
		}
		c := y.asksEngine("allowed", "-v", engineMount, "--user", "65534:65534", "--group-add", strings.TrimSpace(string(group)), "-p", "0:8080")
		published(t, y, c, "allowed", "tcp", "8080/tcp", host)
	})
	sub("absent", func(t *testing.T, y *yard) {
		c := y.asksEngine("absent", "-p", "0:8080")
		own(t, y, c, "absent", 8080)
		c.waitLog(10*time.Second, "no such file or directory")
	})
	sub("hangs", func(t *testing.T, y *yard) {
		path := filepath.Join(t.TempDir(), "engine.sock")
		listener, err := net.Listen("unix", path) // nobody accepts: connecting works, and that is all
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		c := y.asksEngine("hangs", "-v", path+":"+engineSocket, "-p", "0:8080")
		own(t, y, c, "hangs", 8080)
		c.waitLog(10*time.Second, "no answer within 3s")
		if code, took := c.stop(); code != 143 || took > 3*time.Second {
			t.Errorf("exit code %d after %v, expected 143 at once", code, took)
		}
	})
	sub("restarted", func(t *testing.T, y *yard) {
		// Docker publishes on another port after each start.
		c := y.asksEngine("restarted", "-v", engineMount, "-p", "0:8080")
		published(t, y, c, "restarted", "tcp", "8080/tcp", host)
		before := publishedAt(c, "8080/tcp")
		mustDocker(t, "restart", c.id)
		after := publishedAt(c, "8080/tcp")
		y.waitWhere("restarted", func(at netip.AddrPort) bool { return at == netip.AddrPortFrom(host, after.Port()) })
		if before == after {
			t.Logf("it is %s both times", after)
		}
	})
}

// TestPublishedToAnotherHost has the server on another machine, a network namespace behind a wire: what it sees is the
// host's address, so that is where a published port is, and from over there it is reached.
func TestPublishedToAnotherHost(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	if _, err := exec.LookPath("ip"); err != nil {
		lacks(t, "ip (Debian package iproute2)", err)
	}
	third := make([]byte, 1)
	_, _ = rand.Read(third)
	here := netip.AddrFrom4([4]byte{10, 215, third[0], 1})
	there := here.Next()
	space := "cleat-e2e-" + run
	wire := "ce" + run[:6]
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	ip("netns", "add", space)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", space).Run() })
	ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", space)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", wire).Run() })
	ip("address", "add", here.String()+"/30", "dev", wire)
	ip("link", "set", wire, "up")
	ip("-n", space, "address", "add", there.String()+"/30", "dev", "eth0")
	ip("-n", space, "link", "set", "eth0", "up")
	ip("-n", space, "link", "set", "lo", "up")
	server := exec.Command("ip", "netns", "exec", space, built(t).cleatd, "-listen", there.String()+":9640", "-dns", "", "-open")
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})

	y := newYard(t, must(t, smallImage))
	y.server = there
	c := y.asksEngine("far", "-v", engineMount, "-p", "0:8080")
	want := netip.AddrPortFrom(here, publishedAt(c, "8080/tcp").Port())
	if at := y.waitWhere("far", netip.AddrPort.IsValid); at != want {
		t.Errorf("registered at %s, expected %s", at, want)
	}
	if strings.Contains(c.log(), "an instance is passing service=far address="+c.address().String()) {
		t.Error("before, it was registered at the container's own address, which is not published")
	}
	client := exec.Command("ip", "netns", "exec", space, built(t).cleat, "resolve", "-server", y.api(), "far")
	out, err := client.CombinedOutput()
	if err != nil || !strings.Contains(string(out), want.String()) {
		t.Errorf("over there it is resolved to %s (%v), expected %s", out, err, want)
	}
	dial := exec.Command("ip", "netns", "exec", space, built(t).testchild, "dial", want.String())
	if out, err := dial.CombinedOutput(); err != nil {
		t.Errorf("the other machine does not reach it: %v: %s", err, out)
	}
	// What is not published is not reached either: the server sees that, and the log says it.
	c.waitLog(10*time.Second, seesAnother)
	var detail registry.ServiceDetail
	if err := getJSON(y.api()+"/api/v1/services/far-udp", &detail); err != nil || len(detail.Instances) != 1 {
		t.Error(errors.Join(err, fmt.Errorf("instances %+v", detail.Instances)))
	}
}
