package peers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hudl/fargo"
	logging "github.com/op/go-logging"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/eureka"
	"go.yaml.in/yaml/v2"
)

// ofApp is an instance as a Go program registers it.
func ofApp(app, host string, port int) *fargo.Instance {
	return &fargo.Instance{
		InstanceId: host + ":" + strings.ToLower(app), HostName: host, App: app, IPAddr: "192.0.2.1", VipAddress: strings.ToLower(app), Status: fargo.UP,
		Port: port, PortEnabled: true, SecurePort: 8443, HomePageUrl: "http://" + host + "/", StatusPageUrl: "http://" + host + "/info",
		DataCenterInfo: fargo.DataCenterInfo{Name: fargo.MyOwn}, LeaseInfo: fargo.LeaseInfo{RenewalIntervalInSecs: 1, DurationInSecs: 3},
	}
}

// Each of fargo's requests is a line in its log, otherwise.
func init() { logging.SetLevel(logging.CRITICAL, "fargo") }

// fargo registers, renews, finds, polls and deregisters, in XML and in JSON.
func TestFargo(t *testing.T) {
	t.Parallel()
	for _, form := range []struct {
		name, base string
		json       bool
	}{{"XML", "/eureka/v2", false}, {"JSON", "/eureka", true}} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "", "-warming", "0")
			e := fargo.NewConn("http://" + s.address + form.base)
			e.UseJson = form.json
			e.PollInterval = 50 * time.Millisecond

			apps, err := e.GetApps()
			must(t, err)
			if len(apps) != 0 {
				t.Errorf("got %v; want no apps", apps)
			}
			var absent fargo.AppNotFoundError
			if _, err := e.GetApp("ORDERS"); !errors.As(err, &absent) {
				t.Errorf("an app that is not there: %v", err)
			}
			web := ofApp("ORDERS", "web-1", 8080)
			web.SetMetadataString("version", "v2")
			must(t, e.RegisterInstance(web))
			must(t, e.RegisterInstance(web)) // it is there: nothing happens
			must(t, e.HeartBeatInstance(web))

			got, err := e.GetInstance("ORDERS", web.Id())
			must(t, err)
			version, err := got.Metadata.GetString("version")
			must(t, err)
			if got.HostName != "web-1" || got.IPAddr != "192.0.2.1" || got.Port != 8080 || !got.PortEnabled || got.SecurePort != 8443 || got.SecurePortEnabled ||
				got.Status != fargo.UP || got.VipAddress != "orders" || got.StatusPageUrl != "http://web-1/info" || got.LeaseInfo.DurationInSecs != 3 ||
				got.DataCenterInfo.Name != fargo.MyOwn || version != "v2" {
				t.Errorf("got %+v", got)
			}
			must(t, e.AddMetadataString(web, "colour", "blue"))
			if got, err = e.GetInstance("ORDERS", web.Id()); err != nil {
				t.Fatal(err)
			}
			if colour, err := got.Metadata.GetString("colour"); err != nil || colour != "blue" {
				t.Errorf("got the colour %q, %v", colour, err)
			}
			byVIP, err := e.GetInstancesByVIPAddress("orders", false, fargo.ThatAreUp)
			must(t, err)
			if len(byVIP) != 1 || byVIP[0].HostName != "web-1" {
				t.Errorf("got %v", byVIP)
			}

			// A poller follows what others do.
			poller, err := e.NewInstanceSetSourceForApp("ORDERS", true, fargo.ThatAreUp)
			must(t, err)
			defer poller.Stop()
			stopBeating := beating(t, &e, web)
			sees := func(want ...string) time.Duration {
				t.Helper()
				return eventually(t, 15*time.Second, func() error {
					var hosts []string
					for _, i := range poller.Latest() {
						hosts = append(hosts, i.HostName)
					}
					slices.Sort(hosts)
					if !slices.Equal(hosts, want) {
						return fmt.Errorf("the poller has %q; want %q", hosts, want)
					}
					return nil
				})
			}
			sees("web-1")
			other := ofApp("ORDERS", "web-2", 8080)
			must(t, e.RegisterInstance(other))
			must(t, e.ReregisterInstance(other))
			sees("web-1", "web-2")
			t.Logf("an instance that is not renewed was away after %v", sees("web-1"))
			must(t, e.UpdateInstanceStatus(web, fargo.OUTOFSERVICE))
			sees()
			must(t, e.UpdateInstanceStatus(web, fargo.UP))
			sees("web-1")
			// A launcher's container is an instance as any other.
			p := s.launch("orders-3", "orders")
			sees("127.0.0.1", "web-1")
			p.kill()
			sees("web-1")
			stopBeating()
			must(t, e.DeregisterInstance(web))
			if code, ok := fargo.HTTPResponseStatusCode(e.HeartBeatInstance(web)); !ok || code != http.StatusNotFound {
				t.Errorf("a heartbeat of what is gone: %d", code)
			}
			if code, ok := fargo.HTTPResponseStatusCode(e.DeregisterInstance(web)); !ok || code != http.StatusNotFound {
				t.Errorf("what is gone leaves: %d", code)
			}
			eventually(t, 10*time.Second, func() error {
				if apps, err := e.GetApps(); err != nil || len(apps) != 0 {
					return fmt.Errorf("got %v, %w", apps, err)
				}
				return nil
			})
		})
	}
}

// beating renews an instance each second until it is told to stop.
func beating(t *testing.T, e *fargo.EurekaConnection, i *fargo.Instance) (stop func()) {
	done, over := make(chan struct{}), make(chan struct{})
	own := *i // fargo writes to its argument
	go func() {
		defer close(over)
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		for {
			select {
			case <-done:
				return
			case <-beat.C:
				if err := e.HeartBeatInstance(&own); err != nil {
					t.Errorf("a heartbeat: %v", err)
				}
			}
		}
	}()
	return func() { close(done); <-over }
}

// Prometheus discovers targets by eureka_sd, and follows them.
func TestPrometheusEureka(t *testing.T) {
	t.Parallel()
	s := serve(t, "", "-warming", "0")
	var config eureka.SDConfig
	must(t, yaml.UnmarshalStrict(fmt.Appendf(nil, "{server: 'http://%s/eureka', refresh_interval: 1s}", s.address), &config))
	targets := discover(t, &config, "__meta_eureka_app_instance_hostname")

	e := fargo.NewConn("http://" + s.address + "/eureka")
	web := ofApp("ORDERS", "web-1", 8080)
	web.LeaseInfo.DurationInSecs = 90
	web.SetMetadataString("prometheus.path", "/actuator/prometheus")
	must(t, e.RegisterInstance(web))
	labels := targets.has(30*time.Second, "web-1")["web-1"]
	wanted := model.LabelSet{
		"__address__": "web-1:8080", "__meta_eureka_app_name": "ORDERS", "__meta_eureka_app_instance_status": "UP", "__meta_eureka_app_instance_port": "8080",
		"__meta_eureka_app_instance_port_enabled": "true", "__meta_eureka_app_instance_ip_addr": "192.0.2.1", "__meta_eureka_app_instance_id": "web-1:orders",
		"__meta_eureka_app_instance_homepage_url": "http://web-1/", "__meta_eureka_app_instance_datacenterinfo_name": fargo.MyOwn,
		"__meta_eureka_app_instance_metadata_prometheus_path": "/actuator/prometheus", "__meta_eureka_app_instance_vip_address": "orders",
	}
	for name, want := range wanted {
		if labels[name] != want {
			t.Errorf("%s is %q; want %q", name, labels[name], want)
		}
	}
	p := s.launch("shop-1", "shop")
	for id, labels := range targets.has(30*time.Second, "127.0.0.1", "web-1") {
		if id == "127.0.0.1" && (labels["__meta_eureka_app_name"] != "SHOP" || !strings.HasPrefix(string(labels["__address__"]), "127.0.0.1:")) {
			t.Errorf("got %v", labels)
		}
	}
	must(t, e.UpdateInstanceStatus(web, fargo.OUTOFSERVICE))
	eventually(t, 10*time.Second, func() error {
		targets.mu.Lock()
		defer targets.mu.Unlock()
		for _, group := range targets.by {
			for _, target := range group.Targets {
				if target[targets.id] == "web-1" && target["__meta_eureka_app_instance_status"] == "OUT_OF_SERVICE" {
					return nil
				}
			}
		}
		return errors.New("nothing is OUT_OF_SERVICE")
	})
	p.kill()
	targets.has(30*time.Second, "web-1")
	must(t, e.DeregisterInstance(web))
	targets.has(30 * time.Second)
}
