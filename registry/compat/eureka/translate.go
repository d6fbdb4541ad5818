package eureka

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"cleat/registry"
	"cleat/registry/server"
)

// source is the name of this interface where the server says who registered an
// instance.
const source = "eureka"

// The times of a lease.
const (
	defaultRenewal = 30 // seconds between renewals that a client is told
	defaultLease   = 90 * time.Second
	minLease       = 3 * time.Second
	maxLease       = time.Hour
)

// serviceOf returns the service that an app is.
func serviceOf(app string) (string, error) {
	service := strings.ToLower(app)
	if err := registry.CheckName(service); err != nil {
		return "", fmt.Errorf("the app %.80q cannot be a service: %w", app, err)
	}
	return service, nil
}

// idOf returns the registry's id of an app's instance. Eureka's ids are unique in
// their app, and often a host's name alone; the registry's are unique in their
// namespace.
func idOf(service, id string) string {
	if registry.CheckID(id) != nil {
		sum := sha256.Sum256([]byte(id))
		return service + ":" + hex.EncodeToString(sum[:8])
	}
	for part := range strings.SplitSeq(strings.ToLower(id), ":") {
		if part == service {
			return id
		}
	}
	if named := id + ":" + service; registry.CheckID(named) == nil {
		return named
	}
	sum := sha256.Sum256([]byte(id))
	return service + ":" + hex.EncodeToString(sum[:8])
}

// registration is what the registry is told of the instance.
func (i *instance) registration(namespace, service string) (server.Registration, error) {
	number := i.Port.Number
	if !i.Port.Enabled && i.SecurePort.Enabled {
		number = i.SecurePort.Number
	}
	if number < 1 || number > 65535 {
		return server.Registration{}, fmt.Errorf("the port is %d; expected 1 to 65535", number)
	}
	duration := defaultLease
	if asked := cmp.Or(i.Lease.Duration, i.Lease.Eviction); asked > 0 {
		duration = max(minLease, time.Duration(min(asked, seconds(maxLease)))*time.Second)
	}
	i.Lease.Duration, i.Lease.Eviction = seconds(duration), 0
	i.Lease.Renewal = cmp.Or(i.Lease.Renewal, defaultRenewal)
	i.OldOverride, i.Action = "", ""
	extra, err := json.Marshal(i)
	if err != nil {
		return server.Registration{}, fmt.Errorf("the instance cannot be kept: %w", err)
	}
	r := server.Registration{
		Namespace: namespace, Source: source, TTL: duration, Remove: duration, Extra: extra,
		Instance: registry.Instance{
			ID: idOf(service, i.InstanceID), Service: service, Address: i.IPAddr, Port: uint16(number),
			Attributes: i.Metadata.attributes(), Zone: i.Metadata.zone(),
		},
	}
	r.Instance.Status, r.Instance.Reason = i.effective().registry()
	return r, nil
}

// maintained reports whether an operator took the instance out of service.
func (i *instance) maintained() bool {
	return i.Override == outOfService && i.effective() == outOfService
}

// registry returns the status in the registry's words.
func (s status) registry() (registry.Status, string) {
	switch s {
	case up:
		return registry.Passing, ""
	case starting:
		return registry.Starting, ""
	}
	return registry.Critical, "it says " + string(s)
}

// attributes are those of the metadata that the registry can have.
func (m metadata) attributes() map[string]string {
	attributes := make(map[string]string, len(m))
	for key, value := range m {
		if key = strings.ToLower(key); registry.CheckAttribute(key, value) == nil && len(attributes) < registry.MaxAttributes {
			attributes[key] = value
		}
	}
	return attributes
}

// zone is the one that Spring's clients give in their metadata.
func (m metadata) zone() string {
	zone := strings.ToLower(m["zone"])
	if registry.CheckName(zone) != nil {
		return ""
	}
	return zone
}

// described returns the instance as Eureka's clients see it. said is what its
// client registered, nil when it was not registered here.
func described(r registry.Instance, said *instance) *instance {
	var i instance
	if said != nil {
		i = *said
	} else {
		i = launched(r)
	}
	i.App = strings.ToUpper(r.Service)
	i.Override = cmp.Or(i.Override, unknown)
	switch r.Status {
	case registry.Passing, registry.Warning:
		i.Status = up
	case registry.Starting:
		i.Status = starting
	case registry.Draining, registry.Maintenance:
		i.Status, i.Override = outOfService, outOfService
	default:
		i.Status = down
		if said != nil && (said.effective() == outOfService || said.effective() == unknown) {
			i.Status = said.effective()
		}
	}
	i.OldOverride = i.Override
	return &i
}

// launched is an instance that no client of Eureka registered.
func launched(r registry.Instance) instance {
	said := make(metadata, len(r.Attributes)+2)
	maps.Copy(said, r.Attributes)
	if r.Zone != "" {
		said["zone"] = r.Zone
	}
	if len(r.Tags) > 0 {
		said["tags"] = strings.Join(r.Tags, ",")
	}
	return instance{
		InstanceID: r.ID, HostName: r.Address, IPAddr: r.Address,
		Port: port{Number: number(r.Port), Enabled: true}, SecurePort: port{Number: 443},
		Country: 1, DataCenter: &dataCenter{Class: defaultDataCenter, Name: "MyOwn"},
		Lease:    lease{Renewal: defaultRenewal, Duration: seconds(defaultLease)},
		Metadata: said, VIP: r.Service, SecureVIP: r.Service,
		HomePage: "http://" + net.JoinHostPort(r.Address, strconv.Itoa(int(r.Port))) + "/",
	}
}

// seconds returns a duration in whole seconds.
func seconds(d time.Duration) number { return number(d / time.Second) }
