package launcher

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cleat/launcher/control"
	"cleat/launcher/health"
	"cleat/launcher/settings"
	"cleat/registry"
)

// mostWaiting is how many may wait at a time for something to be done; whoever
// asks is bounded as well (see cleat/launcher/control).
const mostWaiting = 64

// waiting are those who have asked for something that is not done at once.
type waiting struct {
	drains  []control.Request // for the server's word
	reloads []control.Request // for the end of a render that began after they asked
}

// asked does what somebody asked for who may, or answers why not.
func (s *supervisor) asked(r control.Request) {
	if r.Do != control.DoStatus && s.life.stopping() {
		r.Reply(refuse("the container is being stopped", ""))
		return
	}
	switch r.Do {
	case control.DoStatus:
		status := s.status()
		r.Reply(control.Answer{Status: &status})
		return
	case control.DoDrain:
		s.drainAsked(r)
	case control.DoUndrain:
		r.Reply(s.undrainAsked())
	case control.DoReload:
		s.reloadAsked(r)
	case control.DoRestart:
		r.Reply(s.restartAsked())
	case control.DoSet:
		r.Reply(s.setAsked(r))
	case control.DoReport:
		r.Reply(s.reportAsked(r))
	default:
		r.Reply(refuse(fmt.Sprintf("this launcher cannot %s", r.Do), ""))
	}
}

func refuse(problem, hint string) control.Answer {
	return control.Answer{Refused: &control.RefusedError{Problem: registry.Problem{Error: problem, Hint: hint}}}
}

func wrong(problem, hint string) control.Answer {
	return control.Answer{Refused: &control.RefusedError{Wrong: true, Problem: registry.Problem{Error: problem, Hint: hint}}}
}

func done(format string, args ...any) control.Answer {
	return control.Answer{Done: fmt.Sprintf(format, args...)}
}

// notOffering returns why there is nothing to drain; empty when there is
// something.
func (s *supervisor) notOffering() string {
	switch {
	case s.Client == nil:
		return "nothing is registered: there is no discovery server (CLEAT_SERVER)"
	case len(s.offers.list) == 0:
		return "nothing is registered: the container offers no port, or none that is known yet"
	}
	return ""
}

// drainAsked hides the instances until undrain. The answer comes when everybody
// who used them has been told, or the time for it (CLEAT_DRAIN) is over.
func (s *supervisor) drainAsked(r control.Request) {
	if problem := s.notOffering(); problem != "" {
		r.Reply(refuse(problem, ""))
		return
	}
	ids := s.offers.ids()
	// A drain that is under way for a restart or a stop must not be replaced.
	wait := s.session && s.set.Drain > 0 && s.serving() && !s.drain.asked && len(s.waiting.drains) < mostWaiting
	if wait {
		s.Client.Drain(registry.Drain{IDs: ids, Wait: registry.InMilliseconds(s.set.Drain)})
		s.waiting.drains = append(s.waiting.drains, r)
	}
	s.commanded(registry.Command{Do: "drain"})
	switch {
	case wait:
	case !s.session:
		r.Reply(done("draining %s; there is no discovery server just now, and the next one is told so", strings.Join(ids, ", ")))
	default:
		r.Reply(done("draining %s", strings.Join(ids, ", ")))
	}
}

// drainAnswered takes the server's word that a drain is over.
func (s *supervisor) drainAnswered(d registry.Drained) {
	if len(s.waiting.drains) == 0 || !sameIDs(d.IDs, s.offers.ids()) {
		return
	}
	text := fmt.Sprintf("drained %s: %d acknowledged", strings.Join(d.IDs, ", "), d.Applied)
	if n := len(d.Pending); n > 0 {
		text += fmt.Sprintf(", %d did not within %v", n, s.set.Drain)
	}
	if d.Alone {
		text += "; there is no other instance that they could use"
	}
	s.replyDrains(done("%s", text))
}

func (s *supervisor) replyDrains(a control.Answer) {
	for _, r := range s.waiting.drains {
		r.Reply(a)
	}
	s.waiting.drains = nil
}

func (s *supervisor) undrainAsked() control.Answer {
	if problem := s.notOffering(); problem != "" {
		return refuse(problem, "")
	}
	s.commanded(registry.Command{Do: "undrain"})
	s.replyDrains(refuse("somebody asked for undrain meanwhile", ""))
	return done("%s as the checks say again", strings.Join(s.offers.ids(), ", "))
}

// reloadAsked reads every template again and renders, at once. Actions run as
// after any change: for the files whose bytes differ.
func (s *supervisor) reloadAsked(r control.Request) {
	s.dirty = true
	switch s.life {
	case lifeProvisioning, lifeWaiting, lifePreparing, lifeHooking:
		if s.renderWaits() {
			r.Reply(s.reloadLater())
			return
		}
	case lifeRunning, lifeTurning, lifeBackoff:
		s.quiet = s.quiet.changed(time.Now(), 0, 0, 0, true)
		s.alarm.at(alarmQuiet, s.quiet.due)
	}
	s.log.Info("somebody asked for a reload")
	if len(s.waiting.reloads) < mostWaiting {
		s.waiting.reloads = append(s.waiting.reloads, r)
	} else {
		r.Reply(done("rendering"))
	}
}

// renderWaits reports whether something must come before the next render that
// may take for ever.
func (s *supervisor) renderWaits() bool {
	return s.whyGround() != "" || !s.begun && len(s.waitedFor()) > 0
}

// reloadLater is the answer to a reload while renderWaits.
func (s *supervisor) reloadLater() control.Answer {
	return done("the templates are read again before the child starts; %s", s.whyNoChild())
}

// reloaded takes the result of a render. One that began before somebody asked
// does not count for him: it left the sources marked as read by nobody.
func (s *supervisor) reloaded(r rendered) {
	if s.dirty || len(s.waiting.reloads) == 0 {
		return
	}
	var a control.Answer
	switch problem := joinSorted(slices.Clone(r.problems)); {
	case r.err != nil:
		a = refuse("nothing was changed: "+r.err.Error(), "")
	case problem != nil:
		a = refuse("a template cannot be used; its last good version stays in use: "+problem.Error(), "")
	case len(r.changed) == 0:
		a = done("rendered %d, and nothing differs", len(r.states))
	default:
		var changed []string
		for _, c := range r.changed {
			changed = append(changed, fmt.Sprintf("%s (%s)", c.destination, c.action))
		}
		a = done("rendered %d, and wrote %s", len(r.states), strings.Join(changed, ", "))
	}
	s.replyReloads(a)
}

func (s *supervisor) replyReloads(a control.Answer) {
	for _, r := range s.waiting.reloads {
		r.Reply(a)
	}
	s.waiting.reloads = nil
}

// restartReason is why a child is restarted that nothing else asked for.
const restartReason = "somebody asked for it"

// restartAsked restarts the child in place, as after a change, but without
// regard to the distance to the last restart.
func (s *supervisor) restartAsked() control.Answer {
	now := time.Now()
	switch s.life {
	case lifeRunning:
		if s.restart == nil {
			s.restart = new(restart)
		}
		// Among the files, because such a reason stays whatever comes.
		s.restart.files = append(s.restart.files, restartReason)
		slices.Sort(s.restart.files)
		s.restart.files = slices.Compact(s.restart.files)
		s.restart.at, s.restart.waited = now, false
		if s.batch == nil { // else its end sets the alarm
			s.alarm.at(alarmRestart, now)
		}
		return done("restarting %s, pid %d", s.childStatus().Command, s.child.Pid())
	case lifeTurning, lifeHalting:
		return done("the child is being restarted already")
	case lifeBackoff:
		s.log.Info("starting the child at once", "why", restartReason)
		s.alarm.at(alarmBackoff, now)
		return done("the child had ended; starting it at once")
	}
	return refuse(s.whyNoChild(), "")
}

// setAsked changes what is registered, until the container ends.
func (s *supervisor) setAsked(r control.Request) control.Answer {
	if s.Client == nil {
		return refuse(s.notOffering(), "")
	}
	if r.Port.Number != 0 && !slices.ContainsFunc(s.offers.list, func(of *offering) bool { return reaches(r.Port, of) }) {
		var ports []string
		for _, of := range s.offers.list {
			ports = append(ports, control.Port{Number: of.Port, Protocol: of.Protocol}.String())
		}
		return wrong(fmt.Sprintf("port %s is not registered", r.Port), "these are: "+strings.Join(ports, ", "))
	}
	next := s.changes
	for _, c := range r.Changes {
		if err := publishable(c); err != nil {
			return wrong(fmt.Sprintf("cannot be set: %v", err), "")
		}
		next = next.with(published{r.Port, c})
	}
	if err := s.changeable(next); err != nil {
		return wrong(err.Error(), "")
	}
	s.changes = next
	var texts []string
	for _, c := range r.Changes {
		texts = append(texts, c.String())
	}
	s.log.Info("somebody asked for a change of what is registered", "changes", texts, "port", r.Port.String())
	s.declare()
	instances, _ := s.instances()
	var lines []string
	for _, i := range instances {
		lines = append(lines, describeInstance(i))
	}
	if len(lines) == 0 {
		return done("kept for what will be registered")
	}
	return done("%s", strings.Join(lines, "\n"))
}

// reportAsked takes what a child says of itself, for its ports with a TTL check.
func (s *supervisor) reportAsked(r control.Request) control.Answer {
	if s.Client == nil {
		return refuse(s.notOffering(), "")
	}
	var ids []string
	for _, of := range s.offers.list {
		if of.Check == nil || of.Check.Kind != health.TTL || !reaches(r.Port, of) {
			continue
		}
		id := s.offers.id(of)
		if err := s.checker.Report(id, r.Status, r.Text); err != nil {
			return wrong(err.Error(), "")
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return wrong("no such port has a check that waits for reports", "set SERVICE_<port>_CHECK_TTL, such as 30s")
	}
	return done("%s is %s", strings.Join(ids, ", "), r.Status)
}

// publishable returns why a change must not be published.
func publishable(c control.Change) error {
	switch {
	case c.Remove:
		return nil
	case c.Tag != "":
		return settings.CheckTag(c.Tag)
	}
	return settings.CheckAttribute(c.Attribute, c.Value)
}

// changeable returns why the changes cannot be in effect.
func (s *supervisor) changeable(next changes) error {
	if len(next) > mostChanges {
		return fmt.Errorf("more than %d tags and attributes have been set by now", mostChanges)
	}
	for _, of := range s.offers.list {
		now, then := s.probe(of, s.changes), s.probe(of, next)
		normal, err := then.Normalize(s.set.Namespace, s.set.Zone)
		if err != nil {
			return errors.Join(fmt.Errorf("port %d could not be registered", of.Port), err)
		}
		now, err = now.Normalize(s.set.Namespace, s.set.Zone)
		for _, n := range s.needs {
			if n.Self && err == nil && n.Filter.Match(now) && !n.Filter.Match(normal) {
				return fmt.Errorf("the requirement %s (%s) would leave out this container itself", n.Alias, n.Text)
			}
		}
	}
	return nil
}

// probe is an offering as it would be registered.
func (s *supervisor) probe(of *offering, c changes) registry.Instance {
	i := registry.Instance{
		ID: s.offers.id(of), Service: of.Service, Address: "192.0.2.1", // for documentation: any would do
		Port: of.Port, Protocol: of.Protocol, Status: registry.Starting,
	}
	i.Tags, i.Attributes = c.apply(of)
	return i
}

func describeInstance(i registry.Instance) string {
	text := i.ID + ": tags " + strings.Join(i.Tags, ",")
	if len(i.Tags) == 0 {
		text = i.ID + ": no tags"
	}
	for _, key := range sortedKeys(i.Attributes) {
		text += fmt.Sprintf(", %s=%s", key, i.Attributes[key])
	}
	return text
}

// replyWaiting answers those who wait for what will not come any more.
func (s *supervisor) replyWaiting() {
	if len(s.waiting.drains)+len(s.waiting.reloads) == 0 {
		return
	}
	gone := func(r control.Request) bool { return r.Gone() }
	s.waiting.drains = slices.DeleteFunc(s.waiting.drains, gone)
	s.waiting.reloads = slices.DeleteFunc(s.waiting.reloads, gone)
	switch {
	case s.life.stopping():
		s.replyReloads(refuse("the container is being stopped", ""))
	case s.life == lifeWaiting && len(s.waiting.reloads) > 0 && s.renderWaits():
		s.replyReloads(s.reloadLater()) // since they asked, the child was stopped
	}
	if s.life.stopping() {
		s.replyDrains(refuse("the container is being stopped", ""))
	}
	if !s.session {
		s.replyDrains(done("draining; the discovery server was lost before it told who knows"))
	}
}
