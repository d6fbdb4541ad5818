package eureka

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// instance is one running copy of an app, as Eureka's clients write and read it.
type instance struct {
	XMLName              xml.Name    `json:"-" xml:"instance"`
	InstanceID           string      `json:"instanceId" xml:"instanceId"`
	HostName             string      `json:"hostName" xml:"hostName"`
	App                  string      `json:"app" xml:"app"`
	IPAddr               string      `json:"ipAddr" xml:"ipAddr"`
	Status               status      `json:"status" xml:"status"`
	Override             status      `json:"overriddenStatus" xml:"overriddenStatus"`
	OldOverride          status      `json:"overriddenstatus" xml:"overriddenstatus"` // as older clients spell it
	Port                 port        `json:"port" xml:"port"`
	SecurePort           port        `json:"securePort" xml:"securePort"`
	Country              number      `json:"countryId" xml:"countryId"`
	DataCenter           *dataCenter `json:"dataCenterInfo" xml:"dataCenterInfo"`
	Lease                lease       `json:"leaseInfo" xml:"leaseInfo"`
	Metadata             metadata    `json:"metadata" xml:"metadata"`
	HomePage             string      `json:"homePageUrl,omitempty" xml:"homePageUrl,omitempty"`
	StatusPage           string      `json:"statusPageUrl,omitempty" xml:"statusPageUrl,omitempty"`
	HealthCheck          string      `json:"healthCheckUrl,omitempty" xml:"healthCheckUrl,omitempty"`
	SecureHealthCheck    string      `json:"secureHealthCheckUrl,omitempty" xml:"secureHealthCheckUrl,omitempty"`
	VIP                  string      `json:"vipAddress,omitempty" xml:"vipAddress,omitempty"`
	SecureVIP            string      `json:"secureVipAddress,omitempty" xml:"secureVipAddress,omitempty"`
	CoordinatingDiscover flag        `json:"isCoordinatingDiscoveryServer" xml:"isCoordinatingDiscoveryServer"`
	Updated              stamp       `json:"lastUpdatedTimestamp" xml:"lastUpdatedTimestamp"`
	Dirty                stamp       `json:"lastDirtyTimestamp" xml:"lastDirtyTimestamp"`
	Action               string      `json:"actionType,omitempty" xml:"actionType,omitempty"`
}

// application is an app and its instances.
type application struct {
	XMLName   xml.Name    `json:"-" xml:"application"`
	Name      string      `json:"name" xml:"name"`
	Instances []*instance `json:"instance" xml:"instance"`
}

// applications is what a client reads, whole or only what changed.
type applications struct {
	XMLName xml.Name       `json:"-" xml:"applications"`
	Version string         `json:"versions__delta" xml:"versions__delta"`
	Hash    string         `json:"apps__hashcode" xml:"apps__hashcode"`
	Apps    []*application `json:"application" xml:"application"`
}

// maxBody is the size in bytes of a registration, unpacked: a Java client's is
// 2 KiB.
const maxBody = 64 << 10

// refusal is what Eureka answers to a registration in which something is
// missing, in its words: clients' authors search for them.
type refusal string

func (r refusal) Error() string { return string(r) }

// decodeInstance reads a registration for an app.
func decodeInstance(app string, body io.Reader) (*instance, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("the body cannot be read: %w", err)
	}
	if len(data) > maxBody {
		return nil, fmt.Errorf("the body is longer than %d bytes", maxBody)
	}
	var envelope struct {
		Instance *instance `json:"instance"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		envelope.Instance = new(instance)
		err = xml.Unmarshal(data, envelope.Instance)
	} else {
		err = json.Unmarshal(data, &envelope)
	}
	if err != nil {
		return nil, fmt.Errorf("the body is no instance: %w", err)
	}
	i := envelope.Instance
	if i == nil {
		return nil, errors.New(`the body has no member "instance"`)
	}
	i.Override = cmp.Or(i.Override, i.OldOverride)
	i.Status = cmp.Or(i.Status, up)
	return i, i.check(app)
}

// check refuses what Eureka refuses.
func (i *instance) check(app string) error {
	switch {
	case i.InstanceID == "" && i.HostName == "":
		return refusal("Missing instanceId")
	case i.HostName == "":
		return refusal("Missing hostname")
	case i.IPAddr == "":
		return refusal("Missing ip address")
	case i.App == "":
		return refusal("Missing appName")
	case !strings.EqualFold(i.App, app):
		return refusal(fmt.Sprintf("Mismatched appName, expecting %.80q but was %.80q", app, i.App))
	case i.DataCenter == nil:
		return refusal("Missing dataCenterInfo")
	case i.DataCenter.Name == "":
		return refusal("Missing dataCenterInfo Name")
	}
	i.InstanceID = cmp.Or(i.InstanceID, i.HostName)
	return nil
}

// effective is the status that the instance has, by Eureka's rules: what is not
// ready stays so whatever an operator says.
func (i *instance) effective() status {
	if i.Status == down || i.Status == starting || i.Override == "" || i.Override == unknown {
		return i.Status
	}
	return i.Override
}
