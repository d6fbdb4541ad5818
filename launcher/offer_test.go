package launcher

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cleat/launcher/listeners"
	"cleat/launcher/settings"
	"cleat/registry"
)

// stall is what a container offers, looked at from time to time.
type stall struct {
	t *testing.T
	*offerings
	now     time.Time
	shared  bool // the network namespace is not the container's own
	changed bool // at the last look
}

var reachable = addresses{wide: netip.MustParseAddr("10.0.0.1"), local: netip.MustParseAddr("10.0.0.1")}

func open(t *testing.T, environment map[string]string, command ...string) *stall {
	t.Helper()
	if len(command) == 0 {
		command = []string{"/usr/sbin/nginx", "-g", "daemon off;"}
	}
	environ := []string{"CLEAT_SERVER=http://cleatd:9640", "CLEAT_ID=web-1"}
	for name, value := range environment {
		environ = append(environ, name+"="+value)
	}
	s, err := settings.Parse(environ, command, settings.Host{Hostname: "web-1", Random: func() string { return "abc" }})
	if err != nil {
		t.Fatal(err)
	}
	return &stall{t: t, offerings: newOfferings(s), now: dawn}
}

// start says that the child has been started now.
func (s *stall) start() *stall {
	s.started(s.now)
	return s
}

// look: after d, these listen. A listener is port, address:port or with "/udp"
// behind; "?" before it: nobody can tell whose it is.
func (s *stall) look(d time.Duration, specs ...string) *stall {
	s.t.Helper()
	s.now = s.now.Add(d)
	var all []listeners.Listener
	for _, spec := range specs {
		l := listeners.Listener{Owner: listeners.Child}
		if rest, unknown := strings.CutPrefix(spec, "?"); unknown {
			spec, l.Owner = rest, listeners.Unknown
		}
		spec, l.UDP = strings.CutSuffix(spec, "/udp")
		if !strings.Contains(spec, ":") {
			spec = "0.0.0.0:" + spec
		}
		at, err := netip.ParseAddrPort(spec)
		if err != nil {
			s.t.Fatal(err)
		}
		l.Addr, l.Port = at.Addr(), at.Port()
		all = append(all, l)
	}
	s.changed = s.listening(all, !s.shared, s.now)
	return s
}

// is checks what would be declared: "service id address:port status reason".
func (s *stall) is(addrs addresses, want ...string) *stall {
	s.t.Helper()
	instances, missing := s.instances(addrs)
	if missing {
		s.t.Error("an address is missing")
	}
	got := []string{}
	for _, i := range instances {
		line := fmt.Sprintf("%s %s %s:%d %s", i.Service, i.ID, i.Address, i.Port, i.Status)
		if i.Protocol != registry.TCP {
			line += " " + string(i.Protocol)
		}
		if i.Reason != "" {
			line += " (" + i.Reason + ")"
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("at %v it declares\n\t%s, expected\n\t%s", s.now.Sub(dawn), strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	return s
}

func TestOfferPassesWhileItListens(t *testing.T) {
	s := open(t, map[string]string{"SERVICE_80_NAME": "web"})
	const web = "web web-1:80 10.0.0.1:80 "
	s.is(reachable, web+"starting")
	s.start().look(time.Second).is(reachable, web+"starting")
	if s.changed || s.passing() {
		t.Errorf("nothing listens yet: changed %v, passing %v", s.changed, s.passing())
	}
	s.look(time.Second, "81", "80/udp").is(reachable, web+"starting") // other ports, other protocols
	s.look(time.Second, "80", "81").is(reachable, web+"passing")
	if !s.changed || !s.passing() {
		t.Errorf("it listens: changed %v, passing %v", s.changed, s.passing())
	}
	s.look(time.Second, "[::]:80").is(reachable, web+"passing")
	if s.changed {
		t.Error("another address of all is a change")
	}
	s.look(time.Second).is(reachable, web+"critical (nothing listens on port 80)")
	if !s.changed || s.passing() {
		t.Errorf("it listens no more: changed %v, passing %v", s.changed, s.passing())
	}
	s.look(time.Second, "80").is(reachable, web+"passing")
	s.stopped()
	s.is(reachable, web+"starting")
	s.start().look(time.Second, "80").is(reachable, web+"passing")
}

func TestAnyListenerOnADeclaredPortIsEnough(t *testing.T) {
	for _, spec := range []string{"80", "10.0.0.1:80", "[::]:80", "[fd00::1]:80", "?80"} {
		s := open(t, map[string]string{"SERVICE_80_NAME": "web"}).start()
		s.shared = true
		if s.look(time.Second, spec); !s.passing() {
			t.Errorf("a listener %s does not pass", spec)
		}
	}
}

func TestOfferOnLoopbackOnly(t *testing.T) {
	s := open(t, map[string]string{"SERVICE_80_NAME": "web"}).start()
	const web = "web web-1:80 10.0.0.1:80 "
	s.look(time.Second, "127.0.0.1:80").is(reachable, web+"critical (listens only on 127.0.0.1)")
	s.look(time.Second, "[::1]:80").is(reachable, web+"critical (listens only on ::1)")
	if !s.changed {
		t.Error("another reason is no change")
	}
	s.look(time.Second, "127.0.0.1:80", "10.0.0.1:80").is(reachable, web+"passing")
	s.look(time.Second, "127.0.0.1:80")
	s.look(time.Second).is(reachable, web+"critical (nothing listens on port 80)")

	// Where loopback is all that can be advertised, it is good enough.
	developer := addresses{wide: netip.MustParseAddr("192.0.2.1"), local: netip.MustParseAddr("127.0.0.1")}
	s.look(time.Second, "127.0.0.1:80").is(developer, "web web-1:80 127.0.0.1:80 passing")
	s.look(time.Second, "80").is(developer, "web web-1:80 192.0.2.1:80 passing")

	// Who says what others must use knows who forwards it.
	s = open(t, map[string]string{"SERVICE_80_NAME": "web", "SERVICE_80_ADVERTISE": "192.0.2.9:8080"}).start()
	s.look(time.Second, "127.0.0.1:80").is(reachable, "web web-1:80 192.0.2.9:8080 passing")
}

func TestAdvertisedInsteadOfItsOwn(t *testing.T) {
	s := open(t, map[string]string{"SERVICE_80_NAME": "web", "SERVICE_80_ADVERTISE": "8080"}).start()
	s.look(time.Second, "80").is(reachable, "web web-1:80 10.0.0.1:8080 passing")
	s = open(t, map[string]string{"SERVICE_80_NAME": "web", "SERVICE_80_ADVERTISE": "192.0.2.9:8080", "SERVICE_80_ID": "front"}).start()
	s.look(time.Second, "80").is(addresses{}, "web front 192.0.2.9:8080 passing") // no address of its own is needed
}

func TestOfferWithoutAddress(t *testing.T) {
	s := open(t, map[string]string{"SERVICE_80_NAME": "web", "SERVICE_81_NAME": "api", "SERVICE_81_ADVERTISE": "192.0.2.9:81"}).start()
	instances, missing := s.instances(addresses{})
	if !missing || len(instances) != 1 || instances[0].Service != "api" {
		t.Errorf("declares %v, missing %v; expected api alone, and one missing", instances, missing)
	}
}

func TestSeveralPorts(t *testing.T) {
	s := open(t, map[string]string{"SERVICE_80_NAME": "web", "SERVICE_443_NAME": "secure", "SERVICE_9000_IGNORE": "true"}).start()
	s.look(time.Second, "80", "9000").is(reachable, "web web-1:80 10.0.0.1:80 passing", "secure web-1:443 10.0.0.1:443 starting")
	if s.passing() {
		t.Error("passes with one of two ports")
	}
	s.look(time.Second, "80", "443").is(reachable, "web web-1:80 10.0.0.1:80 passing", "secure web-1:443 10.0.0.1:443 passing")
	if !s.passing() {
		t.Error("does not pass with both ports")
	}
	if want := []string{"web-1:80", "web-1:443"}; !slices.Equal(s.ids(), want) {
		t.Errorf("the ids are %q, expected %q", s.ids(), want)
	}
}

func TestUDP(t *testing.T) {
	s := open(t, map[string]string{"SERVICE_53_UDP_NAME": "dns"}).start()
	if !s.wantsUDP() {
		t.Error("does not ask for UDP sockets")
	}
	s.look(time.Second, "53").is(reachable, "dns web-1:53:udp 10.0.0.1:53 starting udp")
	s.look(time.Second, "53/udp").is(reachable, "dns web-1:53:udp 10.0.0.1:53 passing udp")
	s = open(t, map[string]string{"SERVICE_53_NAME": "dns"}).start()
	if s.wantsUDP() {
		t.Error("asks for UDP sockets that nobody wants")
	}
}

func TestNothingIsOffered(t *testing.T) {
	s := open(t, map[string]string{"CLEAT_PORTS": "none"}).start()
	s.look(time.Second, "80").look(time.Second, "80").is(reachable)
	if !s.passing() || !s.next(s.now).IsZero() {
		t.Errorf("passing %v, next look at %v; expected true and never", s.passing(), s.next(s.now))
	}
}

func TestAutoPorts(t *testing.T) {
	t.Run("one", func(t *testing.T) {
		s := open(t, nil).start()
		s.look(time.Second, "80").is(reachable)
		s.look(autoStable-1, "80").is(reachable)
		s.look(1, "80").is(reachable, "nginx web-1:80 10.0.0.1:80 passing")
		if !s.changed || !s.passing() {
			t.Errorf("changed %v, passing %v; expected both", s.changed, s.passing())
		}
	})
	t.Run("several", func(t *testing.T) {
		s := open(t, nil).start()
		s.look(0, "80", "443").look(autoStable, "443", "80", "[::]:80").
			is(reachable, "nginx-80 web-1:80 10.0.0.1:80 passing", "nginx-443 web-1:443 10.0.0.1:443 passing")
	})
	t.Run("the set must be stable", func(t *testing.T) {
		s := open(t, nil).start()
		s.look(0, "80").look(autoStable-1, "80", "443").look(autoStable-1, "80", "443").is(reachable)
		s.look(time.Millisecond, "80").look(autoStable-1, "80").is(reachable)
		s.look(1, "80").is(reachable, "nginx web-1:80 10.0.0.1:80 passing")
		s = open(t, nil).start()
		s.look(0, "80").look(autoStable, "81").is(reachable) // as many, but others
	})
	t.Run("a name never changes", func(t *testing.T) {
		s := open(t, map[string]string{"SERVICE_NAME": "front"}).start()
		s.look(0, "80").look(autoStable, "80").is(reachable, "front web-1:80 10.0.0.1:80 passing")
		s.look(time.Hour, "80", "443").look(autoStable, "80", "443").
			is(reachable, "front web-1:80 10.0.0.1:80 passing", "front-443 web-1:443 10.0.0.1:443 passing")
		s.look(time.Second, "443").
			is(reachable, "front web-1:80 10.0.0.1:80 critical (nothing listens on port 80)", "front-443 web-1:443 10.0.0.1:443 passing")
		s.stopped()
		s.start().look(time.Second, "443", "80").
			is(reachable, "front web-1:80 10.0.0.1:80 passing", "front-443 web-1:443 10.0.0.1:443 passing")
	})
	t.Run("a restart begins anew to wait", func(t *testing.T) {
		s := open(t, nil).start()
		s.look(0, "80").look(autoStable-1, "80")
		s.stopped()
		s.start().look(time.Second, "80").is(reachable)
		s.look(autoStable, "80").is(reachable, "nginx web-1:80 10.0.0.1:80 passing")
	})
	t.Run("ignored ones and UDP are left out", func(t *testing.T) {
		s := open(t, map[string]string{"SERVICE_9000_IGNORE": "true", "SERVICE_53_UDP_IGNORE": "true"}).start()
		s.look(0, "9000", "80/udp", "8125/udp").look(autoStable, "9000", "80/udp", "8125/udp").is(reachable)
		s.look(0, "53").look(autoStable, "53").is(reachable, "nginx web-1:53 10.0.0.1:53 passing") // only UDP 53 is ignored
	})
	t.Run("not when a port is named", func(t *testing.T) {
		s := open(t, map[string]string{"SERVICE_80_NAME": "web"}).start()
		s.look(0, "80", "443").look(autoStable, "80", "443").is(reachable, "web web-1:80 10.0.0.1:80 passing")
	})
	t.Run("those of unknown owner count in a namespace of one's own", func(t *testing.T) {
		s := open(t, nil).start()
		s.look(0, "?80").look(autoStable, "?80").is(reachable, "nginx web-1:80 10.0.0.1:80 passing")
		s = open(t, nil).start()
		s.shared = true
		s.look(0, "?80").look(autoStable, "?80").is(reachable)
	})
	t.Run("are bounded", func(t *testing.T) {
		s := open(t, nil).start()
		var specs []string
		for port := range registry.MaxProvides + 10 {
			specs = append(specs, fmt.Sprint(1000+port))
		}
		s.look(0, specs...).look(autoStable, specs...).look(autoStable, append(specs, "80")...).look(autoStable, append(specs, "80")...)
		if n := len(s.ids()); n != registry.MaxProvides {
			t.Errorf("%d ports are registered, expected at most %d", n, registry.MaxProvides)
		}
	})
}

func TestStatusOverOthers(t *testing.T) {
	s := open(t, map[string]string{"SERVICE_80_NAME": "web", "SERVICE_81_NAME": "api"}).start()
	s.look(time.Second, "80").look(time.Second)
	const web, api = "web web-1:80 10.0.0.1:80 ", "api web-1:81 10.0.0.1:81 starting"
	s.lay(registry.Maintenance, []string{"web-1:80"})
	s.is(reachable, web+"maintenance", api)
	s.look(time.Second, "80").is(reachable, web+"maintenance", api)
	s.lay("", []string{"web-1:80"})
	s.is(reachable, web+"passing", api)
	s.lay(registry.Draining, s.ids())
	s.is(reachable, web+"draining", "api web-1:81 10.0.0.1:81 draining")
	s.lay("", s.ids())
	for i := range 1000 {
		s.lay(registry.Draining, []string{fmt.Sprint("stranger-", i)})
	}
	if len(s.drain) != 0 {
		t.Errorf("%d strangers are remembered", len(s.drain))
	}
}

func TestLooksAreSeldomOnceAllIsKnown(t *testing.T) {
	declared := map[string]string{"SERVICE_80_NAME": "web"}
	for name, environment := range map[string]map[string]string{"declared": declared, "auto": nil} {
		s := open(t, environment)
		if at := s.next(s.now); !at.IsZero() {
			t.Errorf("%s: the next look is at %v, expected never without a child", name, at)
		}
		s.start()
		expect := func(want time.Duration) {
			t.Helper()
			if got := s.next(s.now).Sub(s.now); got != want {
				t.Errorf("%s: %v after the start the next look is in %v, expected %v", name, s.now.Sub(s.began), got, want)
			}
		}
		expect(pollEager)
		s.look(eagerTime)
		expect(pollPatient)
		s.look(patientTime - eagerTime)
		expect(pollSettled)
		s.stopped()
		s.start()
		s.look(time.Second, "80")
		s.look(autoStable, "80")
		expect(pollSettled)
	}
}
