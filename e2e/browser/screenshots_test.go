package browser

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

var write = flag.String("write", "", "write pictures of all pages into this `directory`")

// TestScreenshots takes a picture of every page, to be looked at.
func TestScreenshots(t *testing.T) {
	if *write == "" {
		t.Log("nothing is written; -write DIR does")
	}
	shot := func(b *tab, name string) {
		var picture []byte
		b.do(chromedp.FullScreenshot(&picture, 100))
		if len(picture) < 1000 {
			t.Errorf("the picture of %s has %d bytes", name, len(picture))
		}
		if *write == "" {
			return
		}
		if err := os.WriteFile(filepath.Join(*write, name+".png"), picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	take := func(b *tab, path, name string) {
		t.Helper()
		b.visit(path)
		b.until("the page is live", `document.getElementById('live').textContent === 'live'`)
		shot(b, name)
		b.close() // a browser has six connections to a server
	}
	pages := map[string]string{
		"services": "/", "service": "/services/mysql?namespace=default", "instance": "/instances/db-1:3306?namespace=default",
		"launchers": "/sessions", "events": "/events", "map": "/map",
	}
	t.Run("empty", func(t *testing.T) {
		w := newWorld(t, nil)
		for name, path := range map[string]string{"empty": "/", "empty-map": "/map"} {
			take(w.open(t, 1280, 800, "light"), path, name)
		}
		w.launch("web-1", []string{"web:80"}, nil, nil)
		take(w.open(t, 1280, 800, "light"), "/", "one")
		take(w.open(t, 1280, 800, "light"), "/map", "one-map")
	})
	t.Run("shop", func(t *testing.T) {
		w := newWorld(t, nil)
		w.shop()
		for _, scheme := range []string{"light", "dark"} {
			for name, path := range pages {
				take(w.open(t, 1280, 800, scheme), path, "shop-"+name+"-"+scheme)
			}
		}
		w.trouble()
		for _, scheme := range []string{"light", "dark"} {
			for name, path := range pages {
				take(w.open(t, 1280, 800, scheme), path, "trouble-"+name+"-"+scheme)
				take(w.open(t, 360, 740, scheme), path, "narrow-"+name+"-"+scheme)
			}
		}
	})
	t.Run("company", func(t *testing.T) {
		w := newWorld(t, nil)
		w.company()
		for _, scheme := range []string{"light", "dark"} {
			take(w.open(t, 1280, 800, scheme), "/", "company-services-"+scheme)
			take(w.open(t, 1600, 1000, scheme), "/map", "company-map-"+scheme)
		}
	})
}
