package peers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/consul"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.yaml.in/yaml/v2"
)

// scraped are the targets that Prometheus would have. It runs Prometheus's own
// discovery with an entry of consul_sd_configs or eureka_sd_configs. (Debian's
// prometheus is built without them.)
type scraped struct {
	t  *testing.T
	id model.LabelName // that tells targets apart
	mu sync.Mutex
	by map[string]*targetgroup.Group // by source, as Prometheus keeps them
}

func discover(t *testing.T, config discovery.Config, id model.LabelName) *scraped {
	t.Helper()
	registry := prometheus.NewRegistry()
	metrics := config.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
	discoverer, err := config.NewDiscoverer(discovery.DiscovererOptions{Logger: slog.New(slog.DiscardHandler), Metrics: metrics})
	must(t, err)
	s := &scraped{t: t, id: id, by: make(map[string]*targetgroup.Group)}
	ctx, stop := context.WithCancel(context.Background())
	found := make(chan []*targetgroup.Group)
	var work sync.WaitGroup
	work.Go(func() { discoverer.Run(ctx, found) })
	work.Go(func() {
		for {
			select {
			case groups := <-found:
				s.mu.Lock()
				for _, group := range groups {
					s.by[group.Source] = group
				}
				s.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { stop(); work.Wait() })
	return s
}

// has waits until the targets are these, by the label that tells them apart, and
// returns all their labels.
func (s *scraped) has(limit time.Duration, want ...string) map[string]model.LabelSet {
	s.t.Helper()
	var found map[string]model.LabelSet
	took := eventually(s.t, limit, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		found = make(map[string]model.LabelSet)
		var ids []string
		for _, group := range s.by {
			for _, target := range group.Targets {
				labels := group.Labels.Merge(target)
				id := string(labels[s.id])
				found[id] = labels
				id, _, _ = strings.Cut(id, ":")
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		if !slices.Equal(ids, want) {
			return fmt.Errorf("the targets are %q; want %q", ids, want)
		}
		return nil
	})
	s.t.Logf("Prometheus has %q after %v", want, took)
	return found
}

// Prometheus discovers targets by consul_sd, and follows them.
func TestPrometheusConsul(t *testing.T) {
	t.Parallel()
	s := serve(t, "", "-warming", "0")
	agent := officialClient(t, s).Agent()
	register := func(id string, tags ...string) {
		must(t, agent.ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "web", Port: 8080, Address: "192.0.2.1", Tags: tags, Meta: map[string]string{"version": "2"}}))
	}
	register("web-1", "prod")
	register("web-2", "test")
	var config consul.SDConfig
	must(t, yaml.UnmarshalStrict(fmt.Appendf(nil, "{server: %q, tags: [prod], refresh_interval: 1s}", s.address), &config))
	targets := discover(t, &config, "__meta_consul_service_id")
	labels := targets.has(time.Minute, "web-1")["web-1"]
	wanted := model.LabelSet{
		"__address__": "192.0.2.1:8080", "__meta_consul_dc": "dc1", "__meta_consul_tags": ",prod,", "__meta_consul_service": "web",
		"__meta_consul_service_metadata_version": "2", "__meta_consul_health": "passing",
	}
	for name, want := range wanted {
		if labels[name] != want {
			t.Errorf("%s is %q; want %q", name, labels[name], want)
		}
	}
	register("web-3", "prod")
	targets.has(20*time.Second, "web-1", "web-3")
	must(t, agent.ServiceDeregister("web-1"))
	targets.has(20*time.Second, "web-3")
	p := s.launch("shop-1", "shop", "SERVICE_TAGS=prod")
	for id, labels := range targets.has(40*time.Second, "shop-1", "web-3") {
		if strings.HasPrefix(id, "shop-1:") && labels["__meta_consul_node"] != "shop-1" {
			t.Errorf("got %v", labels)
		}
	}
	p.kill()
	targets.has(40*time.Second, "web-3")
	must(t, agent.ServiceDeregister("web-3"))
	targets.has(20 * time.Second)
}
