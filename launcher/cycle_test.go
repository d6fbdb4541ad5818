package launcher

import (
	"context"
	"strings"
	"testing"
	"time"

	"cleat/registry"
	"cleat/registry/client"
)

// Two that require each other are told so, each from its own side; the log, the
// status and the list of sessions name the cycle, and it is forgotten once
// somebody else provides what one of them waits for.
func TestCycleIsNamed(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		node := func(name, service, requires string) *box {
			b := w.newBox(name)
			b.listen(80)
			b.run(env{"SERVICE_80_NAME": service, "CLEAT_REQUIRE_X": requires}, "app")
			return b
		}
		shop, db := node("shop-1", "shop", "db"), node("db-1", "db", "shop")
		cart := node("cart-1", "cart", "shop") // it waits for them
		missing := node("lone-1", "lone", "nobody")
		optional := node("opt-1", "opt", "shop?optional=true")

		w.eventually(10*time.Second, "shop-1 names the cycle", func() bool {
			return registry.Cycle{Links: shop.status().Cycle}.String() == "shop-1 waits for db, db-1 waits for shop"
		})
		w.eventually(10*time.Second, "db-1 names the cycle", func() bool {
			return registry.Cycle{Links: db.status().Cycle}.String() == "db-1 waits for shop, shop-1 waits for db"
		})
		w.eventually(10*time.Second, "cart-1 names the cycle", func() bool {
			return registry.Cycle{Links: cart.status().Cycle}.String() == "db-1 waits for shop, shop-1 waits for db"
		})
		time.Sleep(10 * time.Second)
		if why := shop.status().Requires[0].Why; !strings.Contains(why, "they wait for this container: shop-1 waits for db, db-1 waits for shop") {
			t.Errorf("the requirement says %q", why)
		}
		if n := strings.Count(w.log.String(), "shop-1: warning: containers wait for each other"); n != 1 {
			t.Errorf("shop-1 said it %d times, expected once", n)
		}
		for _, b := range []*box{missing, optional} {
			if c := b.status().Cycle; len(c) > 0 {
				t.Errorf("%s is said to wait for %v", b.name, c)
			}
		}
		api := client.NewAPI(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: w.dial})
		list, err := api.Sessions(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Sessions {
			if want := s.ID == "shop-1" || s.ID == "db-1" || s.ID == "cart-1"; (len(s.Cycle) > 0) != want {
				t.Errorf("the list of sessions has the cycle %v for %s", s.Cycle, s.ID)
			}
		}

		web(w, "db-2", env{"SERVICE_80_NAME": "db"})
		shop.child()
		db.child()
		cart.child()
		time.Sleep(3 * time.Second)
		if list, err = api.Sessions(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Sessions {
			if len(s.Cycle) > 0 {
				t.Errorf("the list of sessions still has the cycle %v for %s", s.Cycle, s.ID)
			}
		}
		if c := shop.status().Cycle; len(c) > 0 {
			t.Errorf("shop-1 still has %v", c)
		}
	})
}

// Nothing is a cycle that only takes its time: a chain, a ring of nodes, enough
// others, a server that is warming.
func TestWhatIsNoCycle(t *testing.T) {
	inWorld(t, 20*time.Second, func(w *world) {
		node := func(name, service, requires string, ports ...uint16) *box {
			b := w.newBox(name)
			b.listen(ports...)
			b.run(env{"SERVICE_80_NAME": service, "CLEAT_REQUIRE_X": requires}, "app")
			return b
		}
		for _, b := range []*box{
			node("a-1", "a", "b", 80), node("b-1", "b", "c", 80), node("c-1", "c", "d", 80),
			node("ring-1", "ring", "self"), node("ring-2", "ring", "self"),
		} {
			w.never(8*time.Second, "it is taken for a cycle", func() bool { return len(b.status().Cycle) > 0 })
		}
		if strings.Contains(w.log.String(), "wait for each other") {
			t.Error("somebody was told of a cycle")
		}
	})
}

// One that requires its own service by name waits for itself.
func TestCycleOfOne(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("a-1")
		b.listen(80)
		b.run(env{"SERVICE_80_NAME": "a", "CLEAT_REQUIRE_X": "a"}, "app")
		w.eventually(10*time.Second, "it names itself", func() bool {
			return registry.Cycle{Links: b.status().Cycle}.String() == "a-1 waits for a"
		})
		w.killServer()
		w.eventually(5*time.Second, "without a server nobody knows", func() bool { return len(b.status().Cycle) == 0 })
	})
}
