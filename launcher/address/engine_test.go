package address

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/memnet"
)

var (
	firstID  = strings.Repeat("0123456789abcdef", 4)
	secondID = strings.Repeat("fedcba9876543210", 4)
)

// engine serves a container engine's API on a unix socket, and returns the
// environment that names it.
func engine(t *testing.T, answer http.HandlerFunc) func(string) (string, bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: answer, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return environment(map[string]string{"DOCKER_HOST": "unix://" + path})
}

func environment(all map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := all[name]
		return value, ok
	}
}

// publishes answers as an engine that has published these ports (JSON).
func publishes(ports string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/containers/"+firstID+"/json" {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"No such container"}`)
			return
		}
		fmt.Fprintf(w, `{"Id":%q,"State":{"Pid":7},"NetworkSettings":{"Bridge":"","Ports":%s}}`, firstID, ports)
	}
}

// onBridge is a container on the engine's default bridge.
func onBridge(ids ...string) machine {
	return machine{
		cards:   sorted([]card{{name: "lo", up: true, addrs: addrs("127.0.0.1")}, {name: "eth0", up: true, addrs: addrs("172.17.0.2")}}),
		source:  routes{"192.0.2.1:9": "172.17.0.2"}.source,
		ids:     func() []string { return ids },
		gateway: func() netip.Addr { return netip.MustParseAddr("172.17.0.1") },
		dial:    new(net.Dialer).DialContext,
	}
}

// texts returns what is published, sorted.
func texts(a Answer) string {
	var all []string
	for port, at := range a.Published {
		all = append(all, port.String()+"="+at.String())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestPublished(t *testing.T) {
	const specific = `{"80/tcp":[{"HostIp":"192.0.2.7","HostPort":"8080"}]}`
	const wild = `{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"32768"},{"HostIp":"::","HostPort":"32769"}],"53/udp":[{"HostIp":"0.0.0.0","HostPort":"32770"}],"9/sctp":[{"HostIp":"0.0.0.0","HostPort":"1"}],"443/tcp":null}`
	const loopback = `{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}]}`
	for _, test := range []struct {
		name, ports, specs, peer string
		want                     string
		near                     bool
	}{
		{"specific", specific, "docker,route", "172.17.0.2", "80/tcp=192.0.2.7:8080", false},
		{"specific, no server yet", specific, "docker,route", "", "80/tcp=192.0.2.7:8080", false},
		{"all addresses, the host translates", wild, "docker", "198.51.100.4", "53/udp=198.51.100.4:32770 80/tcp=198.51.100.4:32768", false},
		{"all addresses, in IPv4 within IPv6", wild, "docker", "::ffff:198.51.100.4", "53/udp=198.51.100.4:32770 80/tcp=198.51.100.4:32768", false},
		{"all addresses, seen by IPv6", wild, "docker", "2001:db8::4", "80/tcp=[2001:db8::4]:32769", false},
		{"all addresses, the server is here", wild, "docker", "172.17.0.2", "53/udp=172.17.0.1:32770 80/tcp=172.17.0.1:32768", true},
		{"all addresses, the server is in this container", wild, "docker", "127.0.0.1", "53/udp=172.17.0.1:32770 80/tcp=172.17.0.1:32768", true},
		{"all addresses, no server yet", wild, "docker", "", "53/udp=invalid AddrPort 80/tcp=invalid AddrPort", false},
		{"the host is named", wild, "docker:static:203.0.113.9", "172.17.0.2", "53/udp=203.0.113.9:32770 80/tcp=203.0.113.9:32768", false},
		{"the host is named, over a specific one", specific, "docker:env:HOST_IP", "", "80/tcp=203.0.113.10:8080", false},
		{"the host's variable is missing", wild, "docker:env:NOBODY", "198.51.100.4", "", false},
		{"loopback only", loopback, "docker", "198.51.100.4", "", false},
		{"loopback and another", `{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"1"},{"HostIp":"0.0.0.0","HostPort":"2"}]}`, "docker", "198.51.100.4", "80/tcp=198.51.100.4:2", false},
		{"a specific one before all", `{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"1"},{"HostIp":"192.0.2.7","HostPort":"2"}]}`, "docker", "198.51.100.4", "80/tcp=192.0.2.7:2", false},
		{"as Podman writes it", `{"80/tcp":[{"HostIp":"","HostPort":"32768"}]}`, "docker", "198.51.100.4", "80/tcp=198.51.100.4:32768", false},
		{"nothing", `{}`, "docker", "198.51.100.4", "", false},
		{"nothing at all", `null`, "docker", "198.51.100.4", "", false},
		{"nonsense among them", `{"80/tcp":[{"HostIp":"here","HostPort":"1"},{"HostIp":"192.0.2.7","HostPort":"70000"},{"HostIp":"192.0.2.7","HostPort":""}],"x/tcp":[{"HostIp":"192.0.2.7","HostPort":"1"}]}`, "docker", "", "", false},
		{"an earlier spec decides", specific, "eth0,docker", "", "", false},
		{"an earlier spec that there is not", specific, "eth7,docker", "", "80/tcp=192.0.2.7:8080", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			named := engine(t, publishes(test.ports))
			q := Query{Env: func(name string) (string, bool) {
				if name == "HOST_IP" {
					return "203.0.113.10", true
				}
				return named(name)
			}}
			q.Peer, _ = netip.ParseAddr(test.peer)
			a := find(specs(t, test.specs), q, onBridge(secondID, firstID))
			if got := texts(a); got != test.want || a.Near != test.near || a.Engine != nil {
				t.Errorf("got %q, near %v, %v; want %q, near %v", got, a.Near, a.Engine, test.want, test.near)
			}
			wide := strings.Contains(test.specs, "route") || strings.Contains(test.specs, "eth0")
			if wide != a.Wide.IsValid() || wide == (a.Err != nil) {
				t.Errorf("the address for other ports is %v, %v", a.Wide, a.Err)
			}
		})
	}
}

// TestNotPublished says what is published when that was not enough.
func TestNotPublished(t *testing.T) {
	for ports, want := range map[string]string{
		`{}`: "no address to advertise was found: docker: only a published port has such an address; no port of this container is published",
		`{"81/tcp":[{"HostIp":"192.0.2.7","HostPort":"1"}],"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"2"}]}`: "no address to advertise was found: docker: only a published port has such an address; " +
			"published are 80/tcp (at no address that others reach), 81/tcp",
	} {
		a := find(specs(t, "docker"), Query{Env: engine(t, publishes(ports))}, onBridge(firstID))
		if a.Err == nil || a.Err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", a.Err, want)
		}
	}
}

func TestEngineFails(t *testing.T) {
	answer := func(code int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
			fmt.Fprint(w, text)
		}
	}
	absent := filepath.Join(t.TempDir(), "no.sock")
	for _, test := range []struct {
		name string
		env  func(string) (string, bool)
		ids  []string
		want string
	}{
		{"absent", environment(map[string]string{"DOCKER_HOST": "unix://" + absent}), []string{firstID}, absent + ": dial unix " + absent + ": connect: no such file or directory"},
		{"not unix", environment(map[string]string{"DOCKER_HOST": "tcp://user:hunter2@192.0.2.1:2375"}), []string{firstID}, "DOCKER_HOST is no unix socket; expected unix:///path"},
		{"no id", engine(t, publishes(`{}`)), nil, "this container's id cannot be told"},
		{"another engine", engine(t, publishes(`{}`)), []string{secondID}, "the engine has no such container"},
		{"refused", engine(t, answer(http.StatusForbidden, "no")), []string{firstID}, "the engine answered 403"},
		{"redirected", engine(t, answer(http.StatusFound, "")), []string{firstID}, "the engine answered 302"},
		{"garbage", engine(t, answer(http.StatusOK, "<html>")), []string{firstID}, "the engine's answer cannot be read: invalid character"},
		{"endless", engine(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"x":"`)
			for range 2 * maxAnswer / 1024 {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}), []string{firstID}, "the engine's answer"},
		{"too many headers", engine(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxEngineHeader))
			fmt.Fprint(w, "{}")
		}), []string{firstID}, "server response headers exceeded"},
		{"closed", engine(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), []string{firstID}, "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := find(specs(t, "docker,route"), Query{Env: test.env}, onBridge(test.ids...))
			if a.Engine == nil || !strings.Contains(a.Engine.Error(), test.want) || strings.Contains(a.Engine.Error(), "hunter2") {
				t.Errorf("got %v, want %s", a.Engine, test.want)
			}
			if a.Wide.String() != "172.17.0.2" || a.Err != nil || len(a.Published) > 0 {
				t.Errorf("the next spec gave %v, %v", a.Wide, a.Err)
			}
		})
	}
}

// socketEnv names the socket to the process that runs the test as another user.
const socketEnv = "ADDRESS_TEST_SOCKET"

// TestEngineWithoutPermission asks at a socket that is there, and closed to this
// user. For root no socket is: there the test runs itself as another one.
func TestEngineWithoutPermission(t *testing.T) {
	path := os.Getenv(socketEnv)
	if path == "" {
		host, _ := engine(t, publishes(`{}`))("DOCKER_HOST")
		path = strings.TrimPrefix(host, "unix://")
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		// The test's directory and the one that it is in are this user's alone.
		for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if os.Geteuid() == 0 {
			const nobody = 65534
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestEngineWithoutPermission$")
			cmd.Env = append(os.Environ(), socketEnv+"="+path)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return
		}
	}
	a := find(specs(t, "docker,route"), Query{Env: environment(map[string]string{"DOCKER_HOST": "unix://" + path})}, onBridge(firstID))
	if a.Engine == nil || !strings.Contains(a.Engine.Error(), "permission denied") || a.Wide.String() != "172.17.0.2" {
		t.Errorf("got %v, %v", a.Engine, a.Wide)
	}
}

// TestEngineHangs connects to an engine that never answers: the context bounds
// it. The time is that of a bubble, so the socket is one in memory.
func TestEngineHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := memnet.Listen()
		defer listener.Close()
		go func() {
			if conn, err := listener.Accept(); err == nil {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 1<<16)) // the question, and nothing after it
				_, _ = conn.Read(make([]byte, 1))
			}
		}()
		began := time.Now()
		m := onBridge(firstID)
		m.dial = listener.Dial
		a := find(specs(t, "docker,route"), Query{}, m)
		if a.Engine == nil || a.Engine.Error() != "/var/run/docker.sock: no answer within 3s" || a.Wide.String() != "172.17.0.2" {
			t.Errorf("got %v, %v", a.Engine, a.Wide)
		}
		if took := time.Since(began); took != engineTime {
			t.Errorf("it took %v, expected %v", took, engineTime)
		}
	})
}

func TestContainerIDs(t *testing.T) {
	const docker = `1162 1148 254:1 /var/lib/docker/containers/%s/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw
1163 1148 254:1 /var/lib/docker/containers/%s/hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw
`
	other := `99 1 254:1 /var/lib/docker/containers/` + secondID + `/hostname /mnt/hostname rw - ext4 /dev/vda1 rw
`
	podman := `5 4 0:25 /containers/storage/overlay-containers/` + firstID + `/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw
`
	for _, test := range []struct {
		name, mountinfo, cgroup, hostname string
		want                              []string
	}{
		{"docker", fmt.Sprintf(docker, firstID, firstID), "0::/\n", firstID[:12], []string{firstID, firstID[:12]}},
		{"a hostname of its own", fmt.Sprintf(docker, firstID, firstID), "0::/\n", "web-1", []string{firstID}},
		{"another container's files mounted", other + fmt.Sprintf(docker, firstID, firstID), "", "", []string{firstID}},
		{"podman", podman, "0::/\n", "", []string{firstID}},
		{"cgroups, version 1", "", "12:cpu:/docker/" + firstID + "\n1:name=systemd:/docker/" + firstID + "\n", "x", []string{firstID}},
		{"cgroups under systemd", "", "0::/system.slice/docker-" + firstID + ".scope\n", "x", []string{firstID}},
		{"cgroups below the container's", "", "0::/docker/" + firstID + "/init\n", "x", []string{firstID}},
		{"only the hostname", "", "", firstID[:12], []string{firstID[:12]}},
		{"no container", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "0::/user.slice\n", "web-1", nil},
		{"garbage", "\x00\n a b", "::::", "0123456789AB", nil},
	} {
		if got := idsFrom(test.mountinfo, test.cgroup, test.hostname); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestGateway(t *testing.T) {
	const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	for table, want := range map[string]string{
		head + "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n": "172.17.0.1",
		head + "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n":                                                             "invalid IP",
		head + "tun0\t00000000\t010011AC\t0003\t0\t0\t0\t00000080\t0\t0\t0\n":                                                             "invalid IP", // 0.0.0.0/1
		head + "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n":                                                             "invalid IP", // no gateway
		"garbage\n": "invalid IP",
		"":          "invalid IP",
	} {
		if got := gatewayIn(table).String(); got != want {
			t.Errorf("%q: got %s, want %s", table, got, want)
		}
	}
}

func TestPickIsStable(t *testing.T) {
	bindings := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.9:1"), netip.MustParseAddrPort("192.0.2.7:9"), netip.MustParseAddrPort("192.0.2.7:2")}
	seen := make(map[netip.AddrPort]bool)
	for range bindings {
		bindings = append(bindings[1:], bindings[0])
		on, _ := pick(bindings, nil, false)
		seen[on] = true
	}
	if len(seen) != 1 || !seen[netip.MustParseAddrPort("192.0.2.7:2")] {
		t.Errorf("got %v", slices.Collect(maps.Keys(seen)))
	}
}
