package settings

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"cleat/launcher/health"
	"cleat/registry"
)

func TestOffers(t *testing.T) {
	for _, test := range []struct {
		name    string
		environ []string
		want    []Offer
		auto    bool
	}{
		{"nothing is named", nil, nil, true},
		{"none", []string{"CLEAT_PORTS=none"}, nil, false},
		{"a name", []string{"SERVICE_3306_NAME=MySQL"}, []Offer{{Port: 3306, Protocol: "tcp", Service: "mysql"}}, false},
		{"the command's name", []string{"SERVICE_80_WEIGHT=3"},
			[]Offer{{Port: 80, Protocol: "tcp", Service: "app", Attributes: map[string]string{"weight": "3"}}}, false},
		{"one name for all, one port", []string{"SERVICE_NAME=web", "SERVICE_80_CHECK_TCP=true"},
			[]Offer{{Port: 80, Protocol: "tcp", Service: "web", Check: checked(health.Check{Kind: health.TCP})}}, false},
		{"one name for all, several ports", []string{"SERVICE_NAME=web", "SERVICE_80_X=", "SERVICE_80_TAGS=a", "SERVICE_443_NAME=tls", "SERVICE_81_TAGS=b"},
			[]Offer{
				{Port: 80, Protocol: "tcp", Service: "web-80", Tags: []string{"a"}},
				{Port: 81, Protocol: "tcp", Service: "web-81", Tags: []string{"b"}},
				{Port: 443, Protocol: "tcp", Service: "tls"},
			}, false},
		{"an ignored port does not count", []string{"SERVICE_NAME=web", "SERVICE_80_X=1", "SERVICE_81_IGNORE=false"},
			[]Offer{
				{Port: 80, Protocol: "tcp", Service: "web", Attributes: map[string]string{"x": "1"}},
				{Port: 81, Protocol: "tcp", Ignore: true},
			}, false},
		{"only ignored ports", []string{"SERVICE_81_IGNORE=1"}, []Offer{{Port: 81, Protocol: "tcp", Ignore: true}}, true},
		{"all ignored", []string{"SERVICE_IGNORE=1", "SERVICE_80_NAME=x"}, []Offer{{Port: 80, Protocol: "tcp", Ignore: true}}, false},
		{"udp beside tcp", []string{"SERVICE_53_NAME=dns", "SERVICE_53_UDP_NAME=dns", "SERVICE_53_udp_TAGS=a"},
			[]Offer{
				{Port: 53, Protocol: "tcp", Service: "dns"},
				{Port: 53, Protocol: "udp", Service: "dns", Tags: []string{"a", "udp"}},
			}, false},
		{"tags", []string{`SERVICE_80_TAGS=b, a,,c\,d,a`}, []Offer{{Port: 80, Protocol: "tcp", Service: "app", Tags: []string{"a", "b", "c,d"}}}, false},
		{"the port's own beats the one for all", []string{"SERVICE_TAGS=x", "SERVICE_A=1", "SERVICE_B=2", "SERVICE_80_TAGS=y", "SERVICE_80_a=3"},
			[]Offer{{Port: 80, Protocol: "tcp", Service: "app", Tags: []string{"y"}, Attributes: map[string]string{"a": "3", "b": "2"}}}, false},
		{"the port's own hides the one for all even when it is not published", []string{"SERVICE_A=1", "SERVICE_80_A=http://u:p@h/"},
			[]Offer{{Port: 80, Protocol: "tcp", Service: "app"}}, false},
		{"of two that differ in case the capitals win", []string{"SERVICE_80_name=b", "SERVICE_80_NAME=a"}, []Offer{{Port: 80, Protocol: "tcp", Service: "a"}}, false},
		{"ids", []string{"SERVICE_ID=me", "SERVICE_80_ID=web", "SERVICE_81_X=1", "SERVICE_82_UDP_NAME=b"},
			[]Offer{
				{Port: 80, Protocol: "tcp", Service: "app-80", ID: "web"},
				{Port: 81, Protocol: "tcp", Service: "app-81", ID: "me:81", Attributes: map[string]string{"x": "1"}},
				{Port: 82, Protocol: "udp", Service: "b", ID: "me:82:udp", Tags: []string{"udp"}},
			}, false},
		{"one id for all, one port", []string{"SERVICE_ID=me", "SERVICE_80_NAME=a"}, []Offer{{Port: 80, Protocol: "tcp", Service: "a", ID: "me"}}, false},
		{"advertised elsewhere", []string{"SERVICE_80_ADVERTISE=8080", "SERVICE_81_ADVERTISE=[fd00::1]:81", "SERVICE_82_ADVERTISE=lb.example.org:82"},
			[]Offer{
				{Port: 80, Protocol: "tcp", Service: "app-80", AdvertisePort: 8080},
				{Port: 81, Protocol: "tcp", Service: "app-81", AdvertiseHost: "fd00::1", AdvertisePort: 81},
				{Port: 82, Protocol: "tcp", Service: "app-82", AdvertiseHost: "lb.example.org", AdvertisePort: 82},
			}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := parse(t, append(test.environ, server))
			if !reflect.DeepEqual(s.Offers, test.want) {
				t.Errorf("got\n%+v\nwant\n%+v", s.Offers, test.want)
			}
			if s.AutoPorts != test.auto {
				t.Errorf("auto is %v", s.AutoPorts)
			}
		})
	}
}

func TestAutoOffer(t *testing.T) {
	s := parse(t, []string{server, "SERVICE_TAGS=a", "SERVICE_X=1"}, "/usr/sbin/nginx")
	want := Offer{Port: 80, Protocol: registry.TCP, Service: "nginx", Tags: []string{"a"}, Attributes: map[string]string{"x": "1"}}
	if got := s.AutoOffer(80, false); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := s.AutoOffer(443, true); got.Service != "nginx-443" {
		t.Errorf("got %+v", got)
	}
	s = parse(t, []string{server, "SERVICE_NAME=" + strings.Repeat("x", 63), "SERVICE_ID=me"})
	got := s.AutoOffer(443, true)
	if got.Service != strings.Repeat("x", 59)+"-443" || got.ID != "me:443" {
		t.Errorf("got %+v", got)
	}
	if got := s.AutoOffer(443, false); got.ID != "me" {
		t.Errorf("got %+v", got)
	}
}

func TestServiceName(t *testing.T) {
	for command, want := range map[string]string{
		"nginx": "nginx", "/usr/sbin/php-fpm8.2": "php-fpm8-2", "./My App": "my-app", "/": "service", "...": "service", "": "service",
		"ünder": "nder", strings.Repeat("x", 100): strings.Repeat("x", 63),
	} {
		got := serviceName(command)
		if got != want {
			t.Errorf("%q: got %q, want %q", command, got, want)
		}
		if err := registry.CheckName(got); err != nil {
			t.Error(err)
		}
	}
}

func TestVariables(t *testing.T) {
	names := make(map[string]bool)
	for _, v := range Variables() {
		if names[v.Name] {
			t.Errorf("%s is there twice", v.Name)
		}
		names[v.Name] = true
		if v.Accepts == "" || v.Means == "" || !strings.HasSuffix(v.Means, ".") || strings.HasSuffix(v.Accepts, ".") {
			t.Errorf("%s is not well described", v.Name)
		}
	}
	for _, v := range plainVariables {
		if v.Secret && !hidden[v.Name] {
			t.Errorf("the child gets %s", v.Name)
		}
	}
	if !slices.ContainsFunc(plainVariables, func(v plain) bool { return v.Secret }) {
		t.Error("there is no secret")
	}
}
