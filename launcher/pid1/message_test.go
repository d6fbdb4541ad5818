package pid1

import (
	"testing"
	"time"
)

func TestMessage(t *testing.T) {
	for _, m := range []message{
		{kind: messageRecord, code: 255, rest: 9 * time.Second},
		{kind: messageEnd},
		{kind: messageSuspend, code: 20, byTerminal: true},
	} {
		if got := decode(m.encode()); got != m {
			t.Errorf("%+v became %+v", m, got)
		}
	}
}

func FuzzWelcome(f *testing.F) {
	f.Add(welcome{init: 1, signals: pipeEnd{200, 77}, records: pipeEnd{201, 78}, ignored: 1 << 63, blocked: 3}.String())
	f.Add("1:2:3:4:5:6:7")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		w, ok := parseWelcome(text)
		if ok && (w.String() != text || w.init <= 0 || w.signals.fd <= 2 || w.records.fd <= 2) {
			t.Errorf("%q = %+v", text, w)
		}
	})
}

func TestMaskRoundTrip(t *testing.T) {
	for _, s := range []signalSet{0, 1, 1 << 31, 1 << 32, 1 << 63, 0xdeadbeefcafe} {
		if got := maskOf(*s.sigset()); got != s {
			t.Errorf("%#x became %#x", s, got)
		}
	}
}
