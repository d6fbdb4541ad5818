package settings

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cleat/launcher/process"
)

func parseStopOn(p *parser, text string) *Error {
	var signals []syscall.Signal
	for item := range strings.SplitSeq(text, ",") {
		s, err := ParseSignal(strings.TrimSpace(item))
		if err != nil {
			return wrong(err.Error(), "", "")
		}
		if uncatchable(s) || cleatsOwn(s) {
			return wrong(process.SignalName(s)+" cannot begin a stop", "signals that cleat can catch: not KILL, STOP, CHLD, URG, PROF, or 32 to 34", "")
		}
		if !slices.Contains(signals, s) {
			signals = append(signals, s)
		}
	}
	p.s.StopOn = signals
	return nil
}

func parseRewrite(p *parser, text string) *Error {
	const expected = "a list of from:to, signals"
	rewrite := make(map[syscall.Signal]syscall.Signal)
	for item := range strings.SplitSeq(text, ",") {
		first, second, ok := strings.Cut(strings.TrimSpace(item), ":")
		if !ok {
			return wrong("an item has no ':'", expected, "such as TERM:QUIT,HUP:0")
		}
		from, err := ParseSignal(first)
		if err != nil {
			return wrong(err.Error(), expected, "")
		}
		if uncatchable(from) || cleatsOwn(from) {
			return wrong(process.SignalName(from)+" is never forwarded", expected, "")
		}
		if _, twice := rewrite[from]; twice {
			return wrong(process.SignalName(from)+" is there twice", expected, "")
		}
		var to syscall.Signal
		if second != "0" {
			if to, err = ParseSignal(second); err != nil {
				return wrong(err.Error(), expected, "")
			}
		}
		rewrite[from] = to
	}
	p.s.Rewrite = rewrite
	return nil
}

// maxExit is the highest exit code.
const maxExit = 255

func parseMapExit(p *parser, text string) *Error {
	const expected = "a list of from:to, exit codes from 0 to 255"
	codes := make(map[int]int)
	for item := range strings.SplitSeq(text, ",") {
		first, second, ok := strings.Cut(strings.TrimSpace(item), ":")
		if !ok {
			return wrong("an item has no ':'", expected, "such as 143:0")
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(second)
		if err1 != nil || err2 != nil || from < 0 || from > maxExit || to < 0 || to > maxExit {
			return wrong("an item is not two exit codes", expected, "such as 143:0")
		}
		if _, twice := codes[from]; twice {
			return wrong("the exit code "+strconv.Itoa(from)+" is there twice", expected, "")
		}
		codes[from] = to
	}
	p.s.MapExit = codes
	return nil
}

// stop fits the parts of a stop into each other.
func (p *parser) stop() {
	s := p.s
	p.afterwards()
	left, most := s.StopTimeout-s.Afterwards, "at most CLEAT_STOP_TIMEOUT, "
	if s.Afterwards > 0 {
		most = "at most what CLEAT_STOP_TIMEOUT leaves beside POST_STOP, the coprocesses and the releases of volumes, "
	}
	if !p.given("CLEAT_DRAIN") {
		s.Drain = min(s.Drain, (left / 2).Truncate(time.Millisecond))
	} else if s.Drain > left {
		p.fail("CLEAT_DRAIN", p.s.given["CLEAT_DRAIN"], wrong("draining is longer than the whole stop",
			most+duration(left), "raise CLEAT_STOP_TIMEOUT, and what stops the container"))
	}
	if !p.given("CLEAT_LINGER") {
		s.Linger = min(s.Linger, (s.Drain / 4).Truncate(time.Millisecond))
	} else if s.Linger > s.Drain {
		p.fail("CLEAT_LINGER", p.s.given["CLEAT_LINGER"], wrong("lingering is longer than draining",
			"at most CLEAT_DRAIN, "+duration(s.Drain), "raise CLEAT_DRAIN"))
	}
	for _, from := range slices.Sorted(maps.Keys(s.Rewrite)) {
		if s.Rewrite[from] == 0 && s.StopSignal == 0 && slices.Contains(s.StopOn, from) {
			p.warn("CLEAT_REWRITE drops " + process.SignalName(from) + ", which begins a stop: the child will not be asked to stop, only killed when CLEAT_STOP_TIMEOUT is over")
		}
	}
}

// explainStop tells how the time of a stop is divided, where more than the child
// is in it.
func (s *Settings) explainStop(a *account) {
	if s.Afterwards == 0 {
		return
	}
	var after []string
	if d := s.Afterwards - s.Releasing - s.Hooks[PostStop].Timeout; d > 0 {
		after = append(after, "coprocesses "+duration(d))
	}
	if d := s.Hooks[PostStop].Timeout; d > 0 {
		after = append(after, string(PostStop)+" "+duration(d))
	}
	if s.Releasing > 0 {
		after = append(after, "releases of volumes "+duration(s.Releasing))
	}
	a.section("stops")
	a.line("within "+duration(s.StopTimeout), "drains for at most "+duration(s.Drain))
	a.line("", "kills the child after "+duration(s.StopTimeout-s.Afterwards))
	a.line("", "keeps "+duration(s.Afterwards)+" for what follows: "+strings.Join(after, ", "))
}
