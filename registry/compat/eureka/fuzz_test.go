package eureka

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"cleat/registry"
)

// Whatever a body holds, it is refused or becomes an instance that the registry
// takes, and that is written again in both forms.
func FuzzRegistration(f *testing.F) {
	f.Add(`{"instance":{"instanceId":"a:b:1","hostName":"h","app":"B","ipAddr":"10.0.0.1","port":{"$":"1","@enabled":true},"dataCenterInfo":{"name":"MyOwn"},"metadata":{"a":[1]}}}`)
	f.Add(`<instance><hostName>h</hostName><app>b</app><ipAddr>::1</ipAddr><port enabled="true">80</port><dataCenterInfo class="c"><name>Amazon</name><metadata><x>y</x></metadata></dataCenterInfo></instance>`)
	f.Add(`{"instance":{"hostName":"h","app":"b","ipAddr":"10.0.0.1","port":{"$":80},"leaseInfo":{"durationInSecs":-1},"dataCenterInfo":{"name":"MyOwn","metadata":{"@class":"x"}}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		i, err := decodeInstance("b", strings.NewReader(body))
		if err != nil {
			return
		}
		r, err := i.registration("default", "b")
		if err != nil {
			return
		}
		if r.TTL < minLease || r.TTL > maxLease {
			t.Errorf("a lease of %s", r.TTL)
		}
		normal, err := r.Instance.Normalize("default", "")
		if err != nil {
			return // the registry refuses it in words of its own
		}
		said := new(instance)
		if err := json.Unmarshal(r.Extra, said); err != nil {
			t.Fatalf("what is kept cannot be read: %v", err)
		}
		normal.Status = registry.Passing
		shown := described(normal, said)
		if _, err := json.Marshal(shown); err != nil {
			t.Error(err)
		}
		text, err := xml.Marshal(shown)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(text, new(instance)); err != nil {
			t.Errorf("the XML cannot be read: %v in %q", err, text)
		}
	})
}
