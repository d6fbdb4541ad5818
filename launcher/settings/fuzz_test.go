package settings

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"cleat/launcher/health"
	"cleat/registry"
)

// FuzzParse parses environments, one variable on each line, and a command, one
// word on each line. There is an error, or the settings hold together; and no
// token is ever shown.
func FuzzParse(f *testing.F) {
	for _, m := range slices.Concat(mistakes, commandMistakes) {
		f.Add(strings.Join(environOf(m.environ), "\n"), "app", "box")
	}
	for _, v := range Variables() {
		f.Add(server+"\n"+v.Example, "app\n{{db.addr}}", "0123456789ab")
	}
	f.Add(server+"\nSERVICE_NAME=a\nSERVICE_80_X=1\nSERVICE_81_UDP_TAGS=a\\,b,c\nSERVICE_ID=x\nCLEAT_REQUIRE_R=self?service=a-80", "a/b", "")
	f.Add(server+"\nCLEAT_TEMPLATE_A=/a:/b:x\nCLEAT_TEMPLATE_A_CHECK=/c:/d {{staged}}\nCLEAT_TEMPLATE_A_CHECK_MODE=/e:/f", "a", "-")
	f.Fuzz(func(t *testing.T, lines, command, hostname string) {
		const secret = "hunter2-in-the-token"
		environ := append(strings.Split(lines, "\n"), "CLEAT_TOKEN="+secret)
		s, err := Parse(environ, strings.Split(command, "\n"), Host{Hostname: hostname, Random: testHost.Random})
		if err != nil {
			if s != nil || len(Errors(err)) == 0 {
				t.Fatalf("an error and %+v, %d mistakes", s, len(Errors(err)))
			}
			for _, e := range Errors(err) {
				if e.Variable == "" || e.Problem == "" || strings.Contains(e.Error(), secret) || strings.ContainsFunc(e.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("the error is not as it should be: %#v", e)
				}
			}
			return
		}
		checkSettings(t, s)
		var out bytes.Buffer
		if err := s.Explain(&out); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), secret) {
			t.Errorf("the account shows the token:\n%s", out.String())
		}
		for _, warning := range s.Warnings {
			if strings.Contains(warning, secret) {
				t.Errorf("a warning shows the token: %s", warning)
			}
		}
		again, err := Parse(environ, strings.Split(command, "\n"), Host{Hostname: hostname, Random: testHost.Random})
		if err != nil {
			t.Fatal(err)
		}
		var second bytes.Buffer
		if err := again.Explain(&second); err != nil {
			t.Fatal(err)
		}
		if out.String() != second.String() {
			t.Errorf("the same environment says two things:\n%s\n%s", out.String(), second.String())
		}
	})
}

// checkSettings reports what does not hold together.
func checkSettings(t *testing.T, s *Settings) {
	t.Helper()
	check := func(ok bool, what string) {
		if !ok {
			t.Errorf("%s: %+v", what, s)
		}
	}
	check(registry.CheckNamespace(s.Namespace) == nil, "namespace")
	check(s.Zone == "" || registry.CheckName(s.Zone) == nil, "zone")
	check(registry.CheckID(s.ID) == nil, "id")
	check(len(s.Advertise) > 0, "advertise")
	check(s.Token == "" || s.TokenFile == "", "one token")
	check((s.Cert == "") == (s.Key == ""), "certificate and key")
	check(s.QuietMin <= s.QuietMax, "quiet")
	check(0 <= s.Linger && s.Linger <= s.Drain && s.Drain <= s.StopTimeout, "stop")
	check(len(s.StopOn) > 0, "stop on")
	check(len(s.Command) == len(s.CommandText) && len(s.Command) > 0, "command")
	for from, to := range s.Rewrite {
		check(from >= 1 && from <= maxSignal && to >= 0 && to <= maxSignal, "rewrite")
	}
	for from, to := range s.MapExit {
		check(from >= 0 && from <= maxExit && to >= 0 && to <= maxExit, "exit codes")
	}
	check(0 <= s.Afterwards && s.Drain+s.Afterwards <= s.StopTimeout, "what follows the child's end")
	for name, h := range s.Hooks {
		check(slices.Contains(hookNames, name) && len(h.Args) > 0 && h.Timeout >= 0 && h.Wait >= 0, "hooks")
		check(name != PreStart || h.Timeout > 0, "PRE_START has time")
	}
	for i, c := range s.Coprocesses {
		check(len(c.Args) > 0 && c.Timeout >= 0 && c.Timeout <= max(s.StopTimeout, endSpan.least), "coprocess")
		check(i == 0 || s.Coprocesses[i-1].Name < c.Name, "coprocesses are sorted and different")
	}
	for i, task := range s.Tasks {
		check(len(task.Args) > 0 && task.Timeout > 0 && task.Next(someDay).After(someDay), "task")
		check(i == 0 || s.Tasks[i-1].Name < task.Name, "tasks are sorted and different")
	}
	checkOffers(t, s)
	aliases := slices.Sorted(maps.Keys(s.Aliases()))
	for i, r := range s.Requirements {
		check(r.Alias == aliases[i], "aliases are sorted and different")
		check(checkAlias(r.Alias) == nil && r.Min >= 1 && r.Limit >= 0 && r.Wait >= 0, "requirement")
		check(len(s.Servers) > 0 || len(r.Fallback) > 0, "nothing to find it with")
		again, err := registry.ParseFilter(r.Filter.String(), "other", nil)
		check(err == nil && again.String() == r.Filter.String() && r.Filter.Self == r.Self, "filter")
		for _, e := range r.Fallback {
			check(e.ID == e.Addr() && e.Port > 0 && registry.CheckAddress(e.Address) == nil, "fallback")
		}
	}
	destinations := make(map[string]bool)
	for _, file := range s.Templates {
		check(!destinations[file.Destination], "two templates for one file")
		destinations[file.Destination] = true
		check(strings.HasPrefix(file.Source, "/") && strings.HasPrefix(file.Destination, "/") && file.Settle >= 0, "template")
	}
	for _, entry := range s.ChildEnv {
		name, _, _ := strings.Cut(entry, "=")
		check(!hidden[name], "a secret goes to the child")
	}
}

// checkOffers lets the registry check every offer as an instance.
func checkOffers(t *testing.T, s *Settings) {
	t.Helper()
	offers := slices.Clone(s.Offers)
	if s.AutoPorts {
		offers = append(offers, s.AutoOffer(65535, true), s.AutoOffer(65535, false))
	}
	ids := make(map[string]bool)
	for i, o := range offers {
		if o.Ignore {
			continue
		}
		id := o.ID
		if id == "" {
			id = InstanceID(s.ID, o.Port, o.Protocol)
		}
		instance := registry.Instance{
			ID: id, Service: o.Service, Address: "192.0.2.1", Port: o.Port, Protocol: o.Protocol,
			Tags: o.Tags, Attributes: o.Attributes, Status: registry.Starting,
		}
		if o.AdvertiseHost != "" {
			instance.Address = o.AdvertiseHost
		}
		if _, err := instance.Normalize(s.Namespace, s.Zone); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
		if i < len(s.Offers) && ids[id] {
			t.Errorf("the id %s is there twice", id)
		}
		ids[id] = true
		if c := o.Check; c != nil {
			span := c.Interval > 0 && c.Timeout > 0 && c.Rise > 0 && c.Fall > 0 && c.DeregisterAfter >= 0
			if !span || (c.Kind == health.TTL) != (c.TTL > 0) || strings.HasPrefix(c.Path, "/") != (c.Kind == health.HTTP || c.Kind == health.HTTPS) {
				t.Errorf("%+v: the check is %+v", o, c)
			}
		}
		for key, value := range o.Attributes {
			if smells(key) || holdsSecret(value) || strings.HasPrefix(key, checkPrefix) {
				t.Errorf("%s=%s would be published", key, value)
			}
		}
	}
}
