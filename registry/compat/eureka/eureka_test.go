package eureka_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/memnet"
	"cleat/registry"
	"cleat/registry/compat/eureka"
	"cleat/registry/server"
)

// world is a server with Eureka's interface, in a bubble.
type world struct {
	t      *testing.T
	server *server.Server
	client *http.Client

	listener *memnet.Listener
}

func bubble(t *testing.T, warming time.Duration, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv, err := server.New(server.Config{Warming: &warming, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		srv.Handle("/eureka/", eureka.New(srv))
		listener := memnet.Listen()
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ctx, listener) }()
		transport := &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return listener.Dial(ctx, network, addr)
			},
			DisableKeepAlives: true,
		}
		defer func() {
			stop()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}()
		synctest.Wait()
		test(&world{t: t, server: srv, client: &http.Client{Transport: transport}, listener: listener})
	})
}

// ask sends a request; headers are "Name: value".
func (w *world) ask(method, path, body string, headers ...string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://127.0.0.1:9640"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// expect sends a request that is answered with a code.
func (w *world) expect(code int, method, path, body string, headers ...string) string {
	w.t.Helper()
	got, text := w.ask(method, path, body, headers...)
	if got != code {
		w.t.Fatalf("%s %s: %d %s; want %d", method, path, got, text, code)
	}
	return text
}

const inJSON = "Accept: application/json"

// apps is what a client makes of JSON.
type apps struct {
	Applications struct {
		Version string `json:"versions__delta"`
		Hash    string `json:"apps__hashcode"`
		List    []struct {
			Name      string           `json:"name"`
			Instances []map[string]any `json:"instance"`
		} `json:"application"`
	} `json:"applications"`
}

func (w *world) apps(path string) apps {
	w.t.Helper()
	var a apps
	if err := json.Unmarshal([]byte(w.expect(200, "GET", path, "", inJSON)), &a); err != nil {
		w.t.Fatal(err)
	}
	return a
}

// only returns the one instance of a list.
func (w *world) only(a apps) map[string]any {
	w.t.Helper()
	if len(a.Applications.List) != 1 || len(a.Applications.List[0].Instances) != 1 {
		w.t.Fatalf("got %+v; want one instance", a)
	}
	return a.Applications.List[0].Instances[0]
}

// A registration as a Spring application sends it.
const spring = `{"instance":{"instanceId":"10.0.0.7:orders:8080","hostName":"10.0.0.7","app":"ORDERS","ipAddr":"10.0.0.7","status":"UP",
"overriddenStatus":"UNKNOWN","port":{"$":8080,"@enabled":"true"},"securePort":{"$":443,"@enabled":"false"},"countryId":1,
"dataCenterInfo":{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"},
"leaseInfo":{"renewalIntervalInSecs":30,"durationInSecs":90,"registrationTimestamp":0,"lastRenewalTimestamp":0,"evictionTimestamp":0,"serviceUpTimestamp":0},
"metadata":{"management.port":"8081","zone":"eu-1","odd key":"x"},"homePageUrl":"http://10.0.0.7:8080/","statusPageUrl":"http://10.0.0.7:8080/actuator/info",
"healthCheckUrl":"http://10.0.0.7:8080/actuator/health","vipAddress":"orders","secureVipAddress":"orders",
"isCoordinatingDiscoveryServer":"false","lastUpdatedTimestamp":"1700000000000","lastDirtyTimestamp":"1700000000001"}}`

// orders is the path of its instance.
const orders = "/eureka/apps/ORDERS/10.0.0.7:orders:8080"

func TestRegisterAndRead(t *testing.T) {
	bubble(t, 0, func(w *world) {
		if body := w.expect(204, "POST", "/eureka/apps/ORDERS", spring, "Content-Type: application/json"); body != "" {
			t.Errorf("a body where fargo wants none: %q", body)
		}
		// Everybody else sees a service.
		l := w.server.Lookup([]byte("default"), []byte("orders"))
		if len(l.Instances) != 1 {
			t.Fatalf("got %+v", l)
		}
		i := l.Instances[0]
		if i.ID != "10.0.0.7:orders:8080" || i.Address != "10.0.0.7" || i.Port != 8080 || i.Status != registry.Passing || i.Zone != "eu-1" || i.Attributes["management.port"] != "8081" {
			t.Errorf("got %+v", i)
		}
		// Eureka's clients see what was said, under every path.
		for _, path := range []string{"/eureka/apps", "/eureka/apps/", "/eureka/v2/apps", "/eureka/v2/apps/", "/eureka/vips/orders", "/eureka/v2/svips/orders"} {
			a := w.apps(path)
			i := w.only(a)
			if a.Applications.Hash != "UP_1_" || a.Applications.List[0].Name != "ORDERS" || i["instanceId"] != "10.0.0.7:orders:8080" || i["status"] != "UP" ||
				i["statusPageUrl"] != "http://10.0.0.7:8080/actuator/info" || i["metadata"].(map[string]any)["odd key"] != "x" || i["overriddenstatus"] != "UNKNOWN" ||
				i["lastDirtyTimestamp"] != "1700000000001" || i["port"].(map[string]any)["@enabled"] != "true" || i["port"].(map[string]any)["$"] != 8080.0 {
				t.Errorf("%s: got %+v", path, a)
			}
		}
		text := w.expect(200, "GET", "/eureka/apps/orders", "", inJSON)
		if !strings.HasPrefix(text, `{"application":{"name":"ORDERS"`) {
			t.Errorf("got %s", text)
		}
		for _, path := range []string{orders, "/eureka/v2/instances/10.0.0.7:orders:8080"} {
			if text := w.expect(200, "GET", path, "", inJSON); !strings.HasPrefix(text, `{"instance":{"instanceId":"10.0.0.7:orders:8080"`) {
				t.Errorf("%s: got %s", path, text)
			}
		}
		// Without a word about JSON, it is XML.
		text = w.expect(200, "GET", "/eureka/apps", "")
		for _, want := range []string{
			"<applications><versions__delta>1</versions__delta><apps__hashcode>UP_1_</apps__hashcode><application><name>ORDERS</name><instance>",
			`<port enabled="true">8080</port>`, "<zone>eu-1</zone>", "<management.port>8081</management.port>",
			`<dataCenterInfo class="com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"><name>MyOwn</name></dataCenterInfo>`,
			"<lastDirtyTimestamp>1700000000001</lastDirtyTimestamp>",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("there is no %s in %s", want, text)
			}
		}
		if strings.Contains(text, "odd key") {
			t.Error("a key that is no XML name is in the XML")
		}
		w.expect(200, "DELETE", orders, "")
		w.expect(404, "DELETE", orders, "")
		w.expect(404, "GET", "/eureka/apps/ORDERS", "")
		if a := w.apps("/eureka/apps"); a.Applications.Hash != "" || a.Applications.List == nil {
			t.Errorf("got %+v; want an empty list and no hash", a)
		}
	})
}

func TestXMLRegistration(t *testing.T) {
	bubble(t, 0, func(w *world) {
		w.expect(204, "POST", "/eureka/v2/apps/stock", `<?xml version="1.0"?><instance><instanceId>node1</instanceId><hostName>node1.example</hostName><app>STOCK</app>
			<ipAddr>10.0.0.8</ipAddr><status>STARTING</status><port enabled="false">80</port><securePort enabled="true">8443</securePort>
			<dataCenterInfo class="com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"><name>MyOwn</name></dataCenterInfo>
			<leaseInfo><durationInSecs>30</durationInSecs></leaseInfo><metadata><version>7</version></metadata></instance>`, "Content-Type: application/xml")
		i := w.server.Lookup([]byte("default"), []byte("stock")).Instances[0]
		if i.ID != "node1:stock" || i.Port != 8443 || i.Status != registry.Starting || i.Attributes["version"] != "7" {
			t.Errorf("got %+v", i)
		}
		if got := w.only(w.apps("/eureka/apps")); got["instanceId"] != "node1" || got["status"] != "STARTING" {
			t.Errorf("got %+v", got)
		}
		w.expect(200, "PUT", "/eureka/v2/apps/STOCK/node1?status=UP&lastDirtyTimestamp=0", "")
		if got := w.only(w.apps("/eureka/apps")); got["status"] != "UP" {
			t.Errorf("got %+v after a renewal that says UP", got)
		}
	})
}

// A Go client's numbers and truth values, and a host's name for an id.
func TestGoClientRegistration(t *testing.T) {
	bubble(t, 0, func(w *world) {
		w.expect(204, "POST", "/eureka/apps/api", `{"instance":{"hostName":"h","app":"api","ipAddr":"10.0.0.9","status":"UP","port":{"$":8080,"@enabled":true},
			"securePort":{"$":"443","@enabled":false},"dataCenterInfo":{"name":"MyOwn","@class":"x"},"leaseInfo":{"evictionDurationInSecs":30},"metadata":{"n":1,"@class":"y"}}}`)
		w.expect(200, "PUT", "/eureka/apps/api/h", "") // no query
		got := w.only(w.apps("/eureka/apps"))
		if got["instanceId"] != "h" || got["metadata"].(map[string]any)["n"] != "1" || got["leaseInfo"].(map[string]any)["durationInSecs"] != 30.0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestLease(t *testing.T) {
	bubble(t, 0, func(w *world) {
		w.expect(204, "POST", "/eureka/apps/ORDERS", spring)
		status := func() string {
			a := w.apps("/eureka/apps")
			if len(a.Applications.List) == 0 {
				return "gone"
			}
			return w.only(a)["status"].(string)
		}
		for range 6 {
			time.Sleep(30 * time.Second)
			w.expect(200, "PUT", orders+"?status=UP&lastDirtyTimestamp=1700000000001", "")
		}
		time.Sleep(85 * time.Second)
		if got := status(); got != "UP" {
			t.Errorf("%s 85 s after its last renewal", got)
		}
		time.Sleep(10 * time.Second)
		if got := status(); got != "DOWN" {
			t.Errorf("%s 95 s after its last renewal", got)
		}
		w.expect(200, "PUT", orders, "")
		if got := status(); got != "UP" {
			t.Errorf("%s after a late renewal", got)
		}
		time.Sleep(190 * time.Second)
		if got := status(); got != "gone" {
			t.Errorf("%s 190 s after its last renewal", got)
		}
		w.expect(404, "PUT", orders, "")
	})
}

// A client that has changed since it registered is told to register again.
func TestDirtyClient(t *testing.T) {
	bubble(t, 0, func(w *world) {
		w.expect(204, "POST", "/eureka/apps/ORDERS", spring)
		w.expect(200, "PUT", orders+"?status=UP&lastDirtyTimestamp=1700000000000", "")
		w.expect(404, "PUT", orders+"?status=UP&lastDirtyTimestamp=1700000000002", "")
		w.expect(404, "PUT", "/eureka/apps/ORDERS/another", "")
		w.expect(404, "PUT", "/eureka/apps/OTHER/10.0.0.7:orders:8080", "")
	})
}

func TestOverride(t *testing.T) {
	bubble(t, 0, func(w *world) {
		w.expect(204, "POST", "/eureka/apps/ORDERS", spring)
		check := func(eureka string, inRegistry registry.Status) {
			t.Helper()
			if got := w.only(w.apps("/eureka/apps")); got["status"] != eureka {
				t.Errorf("got the status %v; want %s", got["status"], eureka)
			}
			if i := w.server.Look("default", "orders").Instances[0]; i.Status != inRegistry {
				t.Errorf("the registry has %s; want %s", i.Status, inRegistry)
			}
		}
		w.expect(200, "PUT", orders+"/status?value=OUT_OF_SERVICE", "")
		check("OUT_OF_SERVICE", registry.Maintenance)
		w.expect(200, "PUT", orders+"?status=OUT_OF_SERVICE", "") // the client has read it
		check("OUT_OF_SERVICE", registry.Maintenance)
		w.expect(204, "POST", "/eureka/apps/ORDERS", spring) // it registers again, as UP
		check("OUT_OF_SERVICE", registry.Maintenance)
		w.expect(200, "DELETE", orders+"/status?value=UP", "")
		check("UP", registry.Passing)
		// What is not ready stays so, whatever an operator says.
		w.expect(200, "PUT", orders+"?status=DOWN", "")
		w.expect(200, "PUT", orders+"/status?value=UP", "")
		check("DOWN", registry.Critical)
		w.expect(400, "PUT", orders+"/status?value=SLEEPY", "")
	})
}

func TestMetadata(t *testing.T) {
	bubble(t, 0, func(w *world) {
		w.expect(204, "POST", "/eureka/apps/ORDERS", spring)
		w.expect(200, "PUT", orders+"/metadata?colour=blue&weight=3", "")
		if i := w.server.Look("default", "orders").Instances[0]; i.Attributes["colour"] != "blue" || i.Attributes["weight"] != "3" || i.Attributes["management.port"] != "8081" {
			t.Errorf("got %+v", i)
		}
	})
}

// A client that applies deltas has what a client has that reads everything.
func TestDelta(t *testing.T) {
	bubble(t, 0, func(w *world) {
		one := func(name string) string {
			return strings.ReplaceAll(strings.ReplaceAll(spring, "ORDERS", name), ":orders:", ":"+strings.ToLower(name)+":")
		}
		w.expect(204, "POST", "/eureka/apps/A", one("A"))
		if a := w.apps("/eureka/apps/"); a.Applications.Hash != "UP_1_" {
			t.Fatalf("got %+v", a)
		}
		if a := w.apps("/eureka/apps/delta"); len(a.Applications.List) != 0 || a.Applications.Hash != "UP_1_" {
			t.Errorf("got %+v; want no change", a)
		}
		w.expect(204, "POST", "/eureka/apps/B", one("B"))
		a := w.apps("/eureka/apps/delta")
		if i := w.only(a); i["actionType"] != "ADDED" || i["app"] != "B" || a.Applications.Hash != "UP_2_" {
			t.Errorf("got %+v", a)
		}
		w.expect(200, "PUT", "/eureka/apps/A/10.0.0.7:a:8080?status=DOWN", "")
		w.expect(200, "DELETE", "/eureka/apps/B/10.0.0.7:b:8080", "")
		a = w.apps("/eureka/apps/delta/")
		if l := a.Applications.List; len(l) != 2 || l[0].Instances[0]["actionType"] != "MODIFIED" || l[0].Instances[0]["status"] != "DOWN" ||
			l[1].Instances[0]["actionType"] != "DELETED" || a.Applications.Hash != "DOWN_1_" {
			t.Errorf("got %+v", a)
		}
		w.expect(204, "POST", "/eureka/apps/A", one("A"))
		if l := w.apps("/eureka/v2/apps/delta").Applications.List; len(l) != 2 || l[0].Instances[0]["status"] != "UP" {
			t.Errorf("got %+v; want the two that have changed", l)
		}
		for range 4 { // kept alive, it is out of the delta after three minutes
			time.Sleep(50 * time.Second)
			w.expect(200, "PUT", "/eureka/apps/A/10.0.0.7:a:8080", "")
			w.apps("/eureka/apps/delta")
		}
		if a := w.apps("/eureka/apps/delta"); len(a.Applications.List) != 0 || a.Applications.Hash != "UP_1_" {
			t.Errorf("got %+v; want no change", a)
		}
	})
}

// What others registered is seen, and an operator may put it out of service.
func TestOthersInstances(t *testing.T) {
	bubble(t, 0, func(w *world) {
		_, err := w.server.Register(server.Registration{Namespace: "default", Source: "api", Instance: registry.Instance{
			ID: "db-1", Service: "mysql", Address: "db.example", Port: 3306, Status: registry.Warning, Tags: []string{"primary"}, Zone: "eu-2",
			Attributes: map[string]string{"role": "master"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		i := w.only(w.apps("/eureka/apps"))
		m := i["metadata"].(map[string]any)
		if i["instanceId"] != "db-1" || i["app"] != "MYSQL" || i["hostName"] != "db.example" || i["status"] != "UP" || i["vipAddress"] != "mysql" ||
			m["role"] != "master" || m["tags"] != "primary" || m["zone"] != "eu-2" {
			t.Errorf("got %+v", i)
		}
		w.expect(404, "PUT", "/eureka/apps/MYSQL/db-1", "") // it is not this interface that renews it
		w.expect(404, "DELETE", "/eureka/apps/MYSQL/db-1", "")
		// Nobody takes it over under a name that happens to be the same.
		_, err = w.server.Register(server.Registration{Namespace: "default", Source: "api", Instance: registry.Instance{
			ID: "10.0.0.7:orders:8080", Service: "billing", Address: "10.0.0.5", Port: 1, Status: registry.Passing,
		}})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(409, "POST", "/eureka/apps/ORDERS", spring)
		if err := w.server.Deregister("default", "10.0.0.7:orders:8080"); err != nil {
			t.Fatal(err)
		}
		w.expect(400, "PUT", "/eureka/apps/MYSQL/db-1/status?value=DOWN", "")
		w.expect(200, "PUT", "/eureka/apps/MYSQL/db-1/status?value=OUT_OF_SERVICE", "")
		if i := w.only(w.apps("/eureka/apps")); i["status"] != "OUT_OF_SERVICE" || i["overriddenStatus"] != "OUT_OF_SERVICE" {
			t.Errorf("got %+v", i)
		}
		w.expect(200, "DELETE", "/eureka/apps/MYSQL/db-1/status", "")
		if i := w.only(w.apps("/eureka/apps")); i["status"] != "UP" {
			t.Errorf("got %+v", i)
		}
	})
}

// Who reads here is told "not now" while the server does not know everything.
func TestWarming(t *testing.T) {
	bubble(t, 20*time.Second, func(w *world) {
		for _, path := range []string{"/eureka/apps", "/eureka/apps/delta", "/eureka/apps/ORDERS", "/eureka/instances/x"} {
			w.expect(403, "GET", path, "")
		}
		w.expect(204, "POST", "/eureka/apps/ORDERS", spring) // but registers
		w.expect(200, "PUT", orders, "")
		time.Sleep(time.Minute)
		w.only(w.apps("/eureka/apps"))
	})
}

func TestRefusals(t *testing.T) {
	without := func(member string) string {
		var body map[string]map[string]any
		if err := json.Unmarshal([]byte(spring), &body); err != nil {
			t.Fatal(err)
		}
		delete(body["instance"], member)
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	bubble(t, 0, func(w *world) {
		tests := []struct{ app, body, want string }{
			{"ORDERS", without("hostName"), "Missing hostname"},
			{"ORDERS", strings.Replace(without("hostName"), "instanceId", "id", 1), "Missing instanceId"},
			{"ORDERS", without("ipAddr"), "Missing ip address"},
			{"ORDERS", without("app"), "Missing appName"},
			{"ORDERS", without("dataCenterInfo"), "Missing dataCenterInfo"},
			{"ORDERS", strings.Replace(spring, `"name":"MyOwn"`, `"x":"y"`, 1), "Missing dataCenterInfo Name"},
			{"OTHER", spring, `Mismatched appName, expecting "OTHER" but was "ORDERS"`},
			{"ORDERS", without("port"), "the port is 0; expected 1 to 65535"},
			{"ORDERS", strings.Replace(spring, `"$":8080`, `"$":"http"`, 1), `"http" is no whole number`},
			{"ORDERS", `{}`, `the body has no member "instance"`},
			{"ORDERS", `[`, "the body is no instance"},
			{"ORDERS", strings.Repeat(" ", 70<<10), "the body is longer than 65536 bytes"},
			{"MY.APP", spring, `the app "MY.APP" cannot be a service`},
		}
		for _, test := range tests {
			if text := w.expect(400, "POST", "/eureka/apps/"+test.app, test.body); !strings.Contains(text, test.want) {
				t.Errorf("got %q; want %q", text, test.want)
			}
		}
		w.expect(400, "POST", "/eureka/apps/ORDERS", "not gzip", "Content-Encoding: gzip")
		w.expect(405, "POST", "/eureka/apps", spring)
		w.expect(405, "PATCH", orders, "")
		w.expect(404, "GET", "/eureka/nothing", "")
		w.expect(404, "POST", "/eureka/v2/peerreplication/batch/", "{}")
		if l := w.server.Look("default", "orders"); len(l.Instances) != 0 {
			t.Errorf("something was registered: %+v", l)
		}
	})
}
