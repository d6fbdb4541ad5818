package eureka_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

// javaHeaders are those of the Java client, whose bodies are packed.
var javaHeaders = []string{
	"Content-Type: application/json", "Content-Encoding: gzip", "Accept: application/json", "User-Agent: Java-EurekaClient/v1.10.18",
	"DiscoveryIdentity-Name: DefaultClient", "DiscoveryIdentity-Version: 1.4", "DiscoveryIdentity-Id: 10.0.0.7",
}

// packed is a body as the Java client sends it.
func packed(body string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(body)) // to memory
	_ = w.Close()
	return b.String()
}

// The shapes in which Java clients of different ages write an instance.
func TestJavaShapes(t *testing.T) {
	const before = `{"instance":{"hostName":"10.0.0.7","app":"ORDERS","ipAddr":"10.0.0.7","status":"UP",`
	tests := []struct {
		name, id, body string
		want           map[string]any // of what is read back
	}{
		{"today's, with what is not set as null", "10.0.0.7:orders:8080", before + `"instanceId":"10.0.0.7:orders:8080","overriddenStatus":"UNKNOWN","sid":"na","appGroupName":null,"asgName":null,
			"port":{"$":8080,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"},"countryId":1,"homePageUrl":null,"statusPageUrl":null,"healthCheckUrl":null,"secureHealthCheckUrl":null,
			"dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},"vipAddress":"orders","secureVipAddress":"orders",
			"leaseInfo":{"renewalIntervalInSecs":5,"durationInSecs":15,"registrationTimestamp":0,"lastRenewalTimestamp":0,"evictionTimestamp":0,"serviceUpTimestamp":0},
			"isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"1700000000000","lastDirtyTimestamp":"1700000000001","metadata":{"@class":"java.util.Collections$EmptyMap"}}}`,
			map[string]any{"metadata": map[string]any{"@class": "java.util.Collections$EmptyMap"}, "lastDirtyTimestamp": "1700000000001", "vipAddress": "orders"}},
		{"numbers as text, as XStream writes them", "10.0.0.7", before + `"overriddenstatus":"UNKNOWN","port":{"@enabled":"true","$":"8080"},"securePort":{"@enabled":"false","$":"7002"},
			"countryId":"1","dataCenterInfo":{"@class":"com.netflix.appinfo.MyDataCenterInfo","name":"MyOwn"},"leaseInfo":{"renewalIntervalInSecs":"30","durationInSecs":"90"},
			"isCoordinatingDiscoveryServer":false,"lastUpdatedTimestamp":1700000000000,"lastDirtyTimestamp":1700000000001,"metadata":{"@class":"java.util.HashMap","a":"b"}}}`,
			map[string]any{"metadata": map[string]any{"a": "b"}, "instanceId": "10.0.0.7", "countryId": 1.0, "lastDirtyTimestamp": "1700000000001"}},
		{"Amazon's data centre", "i-0123", before + `"instanceId":"i-0123","port":{"$":8080,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"},
			"dataCenterInfo":{"@class":"com.netflix.appinfo.AmazonInfo","name":"Amazon","metadata":{"instance-id":"i-0123","availability-zone":"eu-west-1a"}},"metadata":{}}}`,
			map[string]any{"dataCenterInfo": map[string]any{
				"@class": "com.netflix.appinfo.AmazonInfo", "name": "Amazon", "metadata": map[string]any{"instance-id": "i-0123", "availability-zone": "eu-west-1a"},
			}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, 0, func(w *world) {
				w.expect(204, "POST", "/eureka/apps/ORDERS", packed(test.body), javaHeaders...)
				w.expect(200, "PUT", "/eureka/apps/ORDERS/"+test.id+"?status=UP&lastDirtyTimestamp=0", "", javaHeaders...)
				got := w.only(w.apps("/eureka/apps/"))
				if got["status"] != "UP" || got["overriddenStatus"] != "UNKNOWN" || !reflect.DeepEqual(got["port"], map[string]any{"$": 8080.0, "@enabled": "true"}) {
					t.Errorf("got %v", got)
				}
				for key, want := range test.want {
					if !reflect.DeepEqual(got[key], want) {
						t.Errorf("%s is %v; want %v", key, got[key], want)
					}
				}
				w.expect(200, "DELETE", "/eureka/apps/ORDERS/"+test.id, "", javaHeaders...)
			})
		})
	}
}

// A small body that unpacks to a large one is refused.
func TestPackedBomb(t *testing.T) {
	bubble(t, 0, func(w *world) {
		bomb := packed(strings.Repeat(" ", 1<<20))
		if text := w.expect(400, "POST", "/eureka/apps/ORDERS", bomb, javaHeaders...); !strings.Contains(text, "longer than") {
			t.Errorf("got %s", text)
		}
	})
}

// follower keeps what it read, as the Java client does: it reads everything once,
// then what changed, merges that, and compares the hash. When that differs, it reads
// everything again.
type follower struct {
	w         *world
	instances map[string]map[string]any // by app and id
	whole     int                       // how often everything was read
}

func (f *follower) read() {
	f.w.t.Helper()
	if f.instances == nil {
		f.all()
		return
	}
	delta := f.w.apps("/eureka/apps/delta")
	for _, app := range delta.Applications.List {
		for _, i := range app.Instances {
			key := app.Name + " " + i["instanceId"].(string)
			switch action := i["actionType"]; action {
			case "ADDED", "MODIFIED":
				f.instances[key] = i
			case "DELETED":
				delete(f.instances, key)
			default:
				f.w.t.Errorf("the action %v", action)
			}
		}
	}
	if f.hash() != delta.Applications.Hash {
		f.all()
	}
}

func (f *follower) all() {
	f.w.t.Helper()
	f.whole++
	f.instances = make(map[string]map[string]any)
	full := f.w.apps("/eureka/apps/")
	for _, app := range full.Applications.List {
		for _, i := range app.Instances {
			f.instances[app.Name+" "+i["instanceId"].(string)] = i
		}
	}
	if got := f.hash(); got != full.Applications.Hash {
		f.w.t.Errorf("the hash of all is %q; theirs is %q", got, full.Applications.Hash)
	}
}

func (f *follower) hash() string {
	counts := make(map[string]int)
	for _, i := range f.instances {
		counts[i["status"].(string)]++
	}
	var b strings.Builder
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%s_%d_", status, counts[status])
	}
	return b.String()
}

// A client that was away for longer than changes are kept sees by the hash that it
// missed some, and reads everything.
func TestMissedChanges(t *testing.T) {
	bubble(t, 0, func(w *world) {
		w.expect(204, "POST", "/eureka/apps/ORDERS", packed(spring), javaHeaders...)
		f := &follower{w: w}
		f.read()
		w.expect(200, "DELETE", orders, "", javaHeaders...)
		w.apps("/eureka/apps/delta") // somebody else
		time.Sleep(4 * time.Minute)
		f.read()
		if f.whole != 2 || len(f.instances) != 0 {
			t.Errorf("everything was read %d times, and is %v", f.whole, f.instances)
		}
	})
}

// A client that does not take its answer keeps nobody else waiting.
func TestSlowReader(t *testing.T) {
	bubble(t, 0, func(w *world) {
		for n := range 2500 { // more than the server holds back
			body := strings.NewReplacer("10.0.0.7:orders", fmt.Sprintf("10.0.0.%d:orders", n)).Replace(spring)
			w.expect(204, "POST", "/eureka/apps/ORDERS", body)
		}
		conn, err := w.listener.Dial(t.Context(), "tcp", "127.0.0.1:9640")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "GET /eureka/apps HTTP/1.1\r\nHost: 127.0.0.1:9640\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		w.apps("/eureka/apps")
		if took := time.Since(began); took > 0 {
			t.Errorf("another client waited %v", took)
		}
	})
}

// A client that only ever reads what changed has, each time, exactly what one has
// that reads everything, whatever happens in between.
func TestDeltasAtRandom(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, 0, func(w *world) {
				s := &storm{w: w, random: rand.New(rand.NewPCG(seed, 0)), beating: make(map[string]bool)}
				s.rage(40)
			})
		})
	}
}

// storm changes instances at random.
type storm struct {
	w       *world
	random  *rand.Rand
	beating map[string]bool // paths of instances whose clients renew them
}

// rage lets so many rounds of a client's 30 s pass.
func (s *storm) rage(rounds int) {
	t := s.w.t
	f := &follower{w: s.w}
	for round := range rounds {
		for range s.random.IntN(5) {
			s.change()
		}
		for path := range s.beating {
			if code, text := s.w.ask("PUT", path, "", javaHeaders...); code == http.StatusNotFound {
				delete(s.beating, path) // an API took it away
			} else if code != http.StatusOK {
				t.Fatalf("a renewal: %d %s", code, text)
			}
		}
		f.read()
		fresh := &follower{w: s.w}
		fresh.read()
		for key := range fresh.instances {
			delete(fresh.instances[key], "actionType")
			delete(f.instances[key], "actionType")
		}
		if !reflect.DeepEqual(f.instances, fresh.instances) {
			t.Fatalf("round %d: by deltas\n%v\nat once\n%v", round, f.instances, fresh.instances)
		}
		time.Sleep(30 * time.Second)
	}
	if f.whole != 1 {
		t.Errorf("everything was read %d times; want once", f.whole)
	}
	if len(f.instances) == 0 {
		t.Error("nothing is left to see")
	}
	t.Logf("%d instances, hash %s", len(f.instances), f.hash())
}

// change does one thing to one of a few instances.
func (s *storm) change() {
	app := string(rune('A' + s.random.IntN(4)))
	id := fmt.Sprintf("10.0.0.%d:%s:8080", s.random.IntN(4), strings.ToLower(app))
	path := "/eureka/apps/" + app + "/" + id
	status := []string{"UP", "UP", "UP", "DOWN", "STARTING", "OUT_OF_SERVICE", "UNKNOWN"}[s.random.IntN(7)]
	switch s.random.IntN(9) {
	case 0, 1, 2:
		body := strings.NewReplacer(`"10.0.0.7:orders:8080"`, `"`+id+`"`, "ORDERS", app, `"status":"UP"`, `"status":"`+status+`"`,
			"actuator/info", fmt.Sprint(s.random.IntN(3))).Replace(spring)
		s.w.expect(204, "POST", "/eureka/apps/"+app, packed(body), javaHeaders...)
		s.beating[path] = true
	case 3:
		s.may("PUT", path+"?status="+status+"&lastDirtyTimestamp=1700000000001")
	case 4:
		s.may("PUT", path+"/status?value="+status)
	case 5:
		s.may("DELETE", path+"/status?value=UP")
	case 6:
		s.may("PUT", fmt.Sprintf("%s/metadata?n=%d", path, s.random.IntN(10)))
	case 7:
		if s.random.IntN(2) == 0 {
			s.may("DELETE", path)
		}
		delete(s.beating, path) // or its host is gone, without a word
	case 8: // somebody else's
		name := fmt.Sprintf("db-%d", s.random.IntN(3))
		if s.random.IntN(3) == 0 {
			if err := s.w.server.Deregister("default", name); err != nil && !errors.Is(err, server.ErrNotFound) {
				s.w.t.Fatal(err)
			}
			return
		}
		status := []registry.Status{registry.Passing, registry.Warning, registry.Critical}[s.random.IntN(3)]
		_, err := s.w.server.Register(server.Registration{Namespace: "default", Source: "api", Instance: registry.Instance{
			ID: name, Service: "mysql", Address: "192.0.2.1", Port: 3306, Status: status,
		}})
		if err != nil {
			s.w.t.Fatal(err)
		}
	}
}

// may sends a request that an instance may be missing for.
func (s *storm) may(method, path string) {
	if code, text := s.w.ask(method, path, "", javaHeaders...); code != http.StatusOK && code != http.StatusNotFound {
		s.w.t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
}
