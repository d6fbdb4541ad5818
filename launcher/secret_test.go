package launcher

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/process/processtest"
	"cleat/registry"
	"cleat/registry/client"
)

// A whole life with secrets wherever they may be: in the token, in variables, in
// files, in URLs, in arguments and in commands. Whatever goes well and whatever
// fails, none of them is in the log (at level debug), the status, what is
// registered and reported, or the cache.
func TestNoSecretIsShown(t *testing.T) {
	const secret = "hunter2"
	inWorld(t, 0, func(w *world) {
		b := w.newBox("app-1")
		b.listen(80)
		password := b.file("password", secret)
		b.file("in", "{{each web}}{{addr}} {{end}}{{file '"+password+"'}} {{env.APP_SECRET}}")
		for _, fails := range []string{"reload", "verify", "warm", "backup"} {
			b.kernel.Script(fails, func(p *processtest.Process) { p.Exit(1) })
		}
		b.run(env{
			"CLEAT_TOKEN": secret, "CLEAT_CACHE": "%DIR%/cache", "CLEAT_LOG_CHILD": "prefix", "CLEAT_RESTART": "always",
			"SERVICE_80_NAME": "app", "SERVICE_80_PASSWORD": secret, "SERVICE_80_URL": "https://app:" + secret + "@example.org/",
			"SERVICE_80_CHECK_HTTP":   "/health?token=" + secret,
			"CLEAT_REQUIRE_WEB":       "web?attr.token=~.*&on-loss=empty&optional=true",
			"APP_SECRET":              secret,
			"CLEAT_ENV_DATABASE_URL":  "mysql://app:" + secret + "@db/blog",
			"CLEAT_ENV_MISSING":       secret + "{{web.attr.nothing}}",
			"CLEAT_TEMPLATE_X":        "%DIR%/in:%DIR%/out:reload --password=" + secret,
			"CLEAT_HOOK_POST_START":   "warm --token " + secret,
			"CLEAT_COPROCESS_METRICS": "exporter --api-key=" + secret,
			"CLEAT_TASK_BACKUP":       "@every 10s backup https://u:" + secret + "@example.org/",
		}, "app", "--password="+secret, "--url=redis://:"+secret+"@cache/0", "{{web.addr | default 'none'}}")
		api := client.NewAPI(client.Config{Servers: []string{"http://cleatd:9640"}, Dial: w.dial})
		shown := func(phase string) {
			t.Helper()
			status, err := json.Marshal(b.status())
			if err != nil {
				t.Fatal(err)
			}
			texts := map[string]string{"the status": string(status), "the log": w.log.String()}
			if sessions, err := api.Sessions(context.Background()); err == nil {
				text, _ := json.Marshal(sessions)
				texts["the list of sessions"] = string(text)
			}
			if f, err := registry.ParseFilter("app", "default", nil); err == nil {
				service, _ := api.Service(context.Background(), f)
				text, _ := json.Marshal(service)
				texts["the service"] = string(text)
			}
			cache, _ := os.ReadFile(filepath.Join(b.dir, "cache"))
			texts["the cache"] = string(cache)
			for name, text := range texts {
				if at := strings.Index(text, secret); at >= 0 {
					t.Errorf("%s: %s holds a secret: ...%s", phase, name, text[max(0, at-120):min(len(text), at+20)])
				}
			}
		}

		b.child()
		time.Sleep(15 * time.Second)
		shown("at the start")
		if b.read("out") == "" || !strings.Contains(b.read("out"), secret) {
			t.Errorf("the file does not hold the secret at all: %q", b.read("out"))
		}
		web(w, "web-1", env{"SERVICE_80_ZONE": "x"})
		b.file("in", "{{each web}}{{addr}} {{end}}{{file '"+password+"'}} changed")
		b.changed <- struct{}{}
		time.Sleep(15 * time.Second)
		shown("after a failed action")
		b.file("in", "{{file '"+password+"'}} {{file '/"+"none'}} {{web.addr}}")
		b.changed <- struct{}{}
		time.Sleep(15 * time.Second)
		shown("after a failed render")
		r := control.NewRequest(control.DoSet, nil)
		r.Changes = []control.Change{{Attribute: "password", Value: secret}}
		b.asks <- r
		if answer := b.answer(r); answer.Refused == nil || strings.Contains(answer.Refused.Error(), secret) {
			t.Errorf("the answer is %+v", answer.Refused)
		}
		b.child().Exit(1)
		time.Sleep(15 * time.Second)
		shown("after a crash")
		w.killServer()
		time.Sleep(15 * time.Second)
		shown("without a server")
		b.signals <- syscall.SIGTERM
		b.wait()
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log of the end holds a secret")
		}
	})
}
