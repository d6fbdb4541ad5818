package e2e

import (
	"testing"

	"cleat/registry"
)

// TestContainerOtherUser has a child of another uid under Docker's default capabilities, so that cleat may not look
// whose a listener is, on a network where Docker's own resolver listens in the container too. Declared and found ports
// are offered; the resolver's are not.
func TestContainerOtherUser(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	y := newYard(t, must(t, smallImage))
	found := y.run("found", []string{"CLEAT_USER=65534:65534", "SERVICE_NAME=found"}, "/testchild", "listen", ":8080")
	declared := y.run("declared", []string{"CLEAT_USER=65534:65534", "SERVICE_8081_NAME=declared", "SERVICE_8082_UDP_NAME=datagrams"},
		"/testchild", "listen", ":8081", "udp:0.0.0.0:8082", ":8083")
	y.startServer()
	y.waitPassing("found", 1)
	y.waitPassing("declared", 1)
	y.waitPassing("datagrams", 1)
	var all registry.ServiceList
	if err := getJSON(y.api()+"/api/v1/services", &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Services) != 3 {
		t.Errorf("services %+v, expected found, declared and datagrams", all.Services)
	}
	var detail registry.ServiceDetail
	if err := getJSON(y.api()+"/api/v1/services/found", &detail); err != nil {
		t.Fatal(err)
	}
	if i := detail.Instances[0]; i.Port != 8080 || i.Address != found.address().String() {
		t.Errorf("offered as %s:%d, expected %s:8080", i.Address, i.Port, found.address())
	}
	for _, c := range []*container{found, declared} {
		if code, _ := c.stop(); code != 143 {
			t.Errorf("%s exited with %d, expected 143: the child does nothing about TERM", c.name, code)
		}
	}
}
