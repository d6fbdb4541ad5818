package launcher

import (
	"context"
	crand "crypto/rand"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"cleat/launcher/address"
	"cleat/launcher/control"
	"cleat/launcher/health"
	"cleat/launcher/listeners"
	"cleat/launcher/process"
	"cleat/launcher/process/proctree"
	"cleat/launcher/settings"
	"cleat/registry"
	"cleat/registry/client"
)

// Config is what a supervisor works with. All of it is made by the command
// line, so that the whole life can be tested without a kernel or a network.
type Config struct {
	Settings *settings.Settings
	Kernel   process.Kernel
	// Client speaks to the discovery servers; nil: cleat is a plain PID 1. Run
	// runs it, and tells it to leave.
	Client *client.Client
	// Signals are those that the container received, in order.
	Signals <-chan syscall.Signal
	// Record tells the init stage the exit code as it stands, and how long the
	// rest may take (0: no bound).
	Record func(code int, rest time.Duration) error
	// Listeners reads the listening sockets of the child's tree; OwnNamespace
	// says that those of unknown owner are the child's as well. Beside are the
	// pids of what runs beside the child.
	Listeners    func(udp bool, beside []int) ([]listeners.Listener, error)
	OwnNamespace func() bool
	// Established counts the connections to the ports; nil: it cannot be told.
	Established func(ports []uint16) (int, error)
	// Address finds the addresses to advertise; peer is the one that the server
	// sees, invalid while that is not known. It may take seconds.
	Address func(peer netip.Addr) address.Answer
	// Use finds out what a process and its descendants use; nil: it cannot be
	// told.
	Use func(pid int) (proctree.Use, error)
	// Watch names the files whose change is told on Changed; nil: nothing is
	// watched.
	Watch   func(paths []string)
	Changed <-chan struct{}
	// Ground is about volumes and networks; without any it may be empty.
	Ground Ground
	// Requests are those that may be asked, see cleat/launcher/control; nil: none.
	Requests <-chan control.Request
	Version  string
	Log      *slog.Logger
}

// life is what the supervisor is doing; the package comment draws it.
type life string

const (
	lifeProvisioning life = "provisioning"        // volumes and networks come first
	lifeWaiting      life = registry.StateWaiting // for requirements, quiet views, a good first render
	lifePreparing    life = "preparing"           // rendering before a start
	lifeHooking      life = "hooking"             // PRE_START runs
	lifeRunning      life = "running"             // the child runs
	lifeTurning      life = "turning"             // a restart was decided; its drain is under way
	lifeHalting      life = "halting"             // the child was told to end, to be started again
	lifeBackoff      life = "backoff"             // the child ended by itself and will be started again
	lifeDraining     life = "draining"            // stopping: consumers are told
	lifeLingering    life = "lingering"           // stopping: established connections may end
	lifeStopping     life = "stopping"            // stopping: the child was told to end
	lifeEnding       life = "ending"              // the child has ended for good; what follows that is under way
	lifeReleasing    life = "releasing"           // volumes are given back
	lifeOver         life = "over"                // nothing is left to do but to go
)

// stopping reports whether the container is on its way out.
func (l life) stopping() bool {
	return l == lifeDraining || l == lifeLingering || l == lifeStopping || l == lifeEnding || l == lifeReleasing || l == lifeOver
}

// cleanUpTime is how long everything may take that follows the child's end,
// coprocesses and POST_STOP aside.
const cleanUpTime = 2 * time.Second

// leaveTime is how long of that may go to saying goodbye to the server.
const leaveTime = 500 * time.Millisecond

// outputTime is how long what the child wrote may take to be written on, where
// its lines are prefixed.
const outputTime = 500 * time.Millisecond

// supervisor owns the child, the views and the timers. All its methods are
// called by the loop in [supervisor.run], and nothing else touches its fields.
type supervisor struct {
	Config
	set   *settings.Settings
	log   *slog.Logger
	alarm *deadlines
	life  life
	code  int // the container's exit code, once life is over

	ground     ground
	joined     bool   // the client runs
	endKeeping func() // writes what is left to be kept

	// The server, and what is needed and offered.
	key      string
	needs    []*need
	consumer consumer
	session  bool // there is one now
	declared *registry.Declare
	offers   *offerings
	checker  *health.Checker
	operator map[string]registry.Status // what an operator laid over instances, by id
	addrs    addresses
	near     bool          // one of them is good on this host only
	locating bool          // they are being found out aside
	relocate bool          // and again after that: something has changed meanwhile
	engine   time.Duration // until the container engine is asked again; 0: it has answered
	peer     netip.Addr    // the address that the server sees; invalid: none has told
	reporter reporter
	cycle    registry.Cycle // that the first start waits for, as the server sees it
	keeper   *keeper        // of the cache; nil: nothing is kept

	// The child.
	child   process.Process
	exited  <-chan process.Exit
	begun   bool // it has been started, and need not wait for requirements again
	started started
	crashes int // in a row
	counts  struct{ starts, restarts, renders int }

	// What runs before, beside and after it; see hook.go, coprocess.go, task.go.
	hooks         hooks
	coprocesses   []*coprocess
	coprocessEnds chan coprocessEnd
	tasks         []*task
	taskEnds      chan taskEnd
	parting       parting

	// Changes.
	env       map[string]string // that templates see
	files     *files
	uses      uses
	next      effective // what the render under way is made from
	effective effective // what the last good one was made from
	quiet     quiet
	dirty     bool // a source or a watched file has changed
	batch     *batch
	rendering bool // the files are in use aside
	again     bool // a change became due while a batch or a start was under way
	failures  int  // renders in a row
	owed      map[settings.Action]debt
	restart   *restart
	distance  distance
	dropped   time.Time // when a restart was last found not to be needed any more

	// Acknowledgements.
	pending  map[string]registry.Revision // by filter, the last view that came, until it is acknowledged
	unproven map[string]registry.Revision // of these, what waits for the child to pass; nil: it has

	// Drains, and the stop.
	drain      drain
	stopSignal syscall.Signal
	stopAt     time.Time

	// Work aside from the loop.
	work      context.Context // ends when the stop begins
	cancel    context.CancelCauseFunc
	gone      chan struct{} // closed when the loop has ended
	aside     sync.WaitGroup
	preparing chan rendered
	rendered  chan batchRender
	acted     chan outcome
	located   chan address.Answer

	// What people ask, see request.go.
	journal journal
	waiting waiting
	changes changes // of what is registered

	said map[string]string // what was logged last, by subject
	last string            // the last error, while it lasts
	wait struct {
		began time.Time
		next  time.Duration
	}
}

// Run leads the child's whole life and returns the container's exit code. It
// blocks until everything is over; when ctx ends, that is taken for a TERM.
func Run(ctx context.Context, c Config) int {
	s := newSupervisor(c)
	return s.run(ctx)
}

func newSupervisor(c Config) *supervisor {
	s := &supervisor{
		Config: c, set: c.Settings, log: c.Log, alarm: newDeadlines(), life: lifeWaiting,
		key: newKey(), offers: newOfferings(c.Settings), checker: health.New(c.Kernel, c.Settings.User), operator: make(map[string]registry.Status),
		env: make(map[string]string, len(c.Settings.ChildEnv)), files: newFiles(c.Settings, c.Kernel),
		pending: make(map[string]registry.Revision),
		owed:    make(map[settings.Action]debt), distance: distance{gap: leastGap},
		preparing: make(chan rendered, 1), rendered: make(chan batchRender, 1), acted: make(chan outcome), located: make(chan address.Answer, 1),
		hooks: newHooks(c.Settings), coprocesses: newCoprocesses(c.Settings), coprocessEnds: make(chan coprocessEnd),
		tasks: newTasks(c.Settings), taskEnds: make(chan taskEnd), gone: make(chan struct{}),
		said: make(map[string]string), journal: newJournal(), reporter: newReporter(),
	}
	for _, entry := range s.set.ChildEnv {
		name, value, _ := strings.Cut(entry, "=")
		s.env[name] = value
	}
	s.consumer = consumer{id: s.set.ID, zone: s.set.Zone, began: time.Now(), own: make(map[string]bool)}
	for _, r := range s.set.Requirements {
		s.needs = append(s.needs, &need{Requirement: r, key: r.Filter.String()})
	}
	for _, id := range s.offers.ids() {
		s.consumer.own[id] = true
	}
	s.endKeeping = func() {}
	s.work, s.cancel = context.WithCancelCause(context.Background())
	return s
}

func (s *supervisor) run(ctx context.Context) int {
	for _, warning := range s.set.Warnings {
		s.log.Warn(warning)
	}
	var events <-chan client.Event
	if s.Client != nil {
		events = s.Client.Events()
	}
	defer func() { s.endKeeping() }()
	s.settleGround()
	s.stepGround()
	s.advance()
	done := ctx.Done()
	for s.life != lifeOver {
		s.alarm.arm()
		select {
		case sig, open := <-s.Signals:
			if !open {
				s.abandoned()
				break
			}
			s.signalled(sig)
		case event := <-events:
			s.heard(event)
		case exit := <-s.exited:
			s.childEnded(exit)
		case r := <-s.preparing:
			s.prepared(r)
		case r := <-s.rendered:
			s.batchRendered(r)
		case o := <-s.acted:
			s.actionEnded(o)
		case e := <-s.hooks.ended:
			s.hookEnded(e)
		case e := <-s.coprocessEnds:
			s.coprocessEnded(e)
		case e := <-s.taskEnds:
			s.taskEnded(e)
		case l := <-s.located:
			s.relocated(l)
		case use := <-s.reporter.used:
			s.used(use)
		case <-s.checker.Changed():
			s.checked()
		case r := <-s.Requests:
			s.asked(r)
		case <-s.Changed:
			s.sourcesChanged()
		case r := <-s.ground.results:
			s.groundDone(r)
		case <-s.Ground.Changed:
			s.groundChanged()
		case <-s.alarm.timer.C:
			for _, a := range s.alarm.ringing(time.Now()) {
				s.ring(a)
			}
		case <-done:
			done = nil
			if !s.life.stopping() {
				s.stop(syscall.SIGTERM) // also where CLEAT_STOP_ON does not name it
			}
		}
		s.stepGround()
		s.advance()
		s.keep()
		s.report()
		s.replyWaiting()
	}
	close(s.gone)
	s.drainAside(events)
	s.Kernel.Flush(outputTime)
	return s.code
}

// join begins the session with the servers, once the child has all that it
// stands on.
func (s *supervisor) join() {
	s.life = lifeWaiting
	s.consumer.began = time.Now()
	s.keeper = s.newKeeper() // the file may be on a volume
	s.endKeeping = s.startKeeping()
	if s.Client != nil {
		s.joined = true
		s.locate()
		if s.offers.any() {
			s.alarm.at(alarmBegin, time.Now().Add(patientBegin))
		} else {
			s.declare() // no address is needed
		}
		s.aim()
		s.aside.Go(func() {
			if err := s.checker.Run(s.work); err != nil {
				s.log.Warn("a check was left behind", "cause", err)
			}
		})
		// It ends when it is told to leave, not before.
		s.aside.Go(func() { _ = s.Client.Run(context.Background()) })
	}
	s.judge()
}

// abandoned takes the end of the init stage: then nobody passes signals on any
// more, and nobody else ends the child.
func (s *supervisor) abandoned() {
	s.Signals = nil // a closed channel would keep the loop spinning
	if !s.life.stopping() {
		s.log.Error("the init stage is gone")
		s.stop(syscall.SIGTERM)
	}
}

// drainAside waits for the work aside, taking what it still has to say.
func (s *supervisor) drainAside(events <-chan client.Event) {
	ended := make(chan struct{})
	go func() {
		s.aside.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return
		case <-s.acted:
		case <-s.hooks.ended:
		case <-s.coprocessEnds:
		case <-s.taskEnds:
		case <-s.preparing:
		case <-s.rendered:
		case <-s.located:
		case <-s.ground.results:
		case <-events:
		}
	}
}

// ring takes an alarm. What it means is decided by the state.
func (s *supervisor) ring(a alarm) {
	switch a {
	case alarmQuiet:
		s.quietOver()
	case alarmPoll:
		s.poll()
	case alarmProgress:
		s.progress()
	case alarmNeed:
		s.judge()
		if s.begun {
			s.changed(time.Now(), false) // a restarting endpoint has been gone for too long
		}
	case alarmRetry:
		s.retry()
	case alarmRestart:
		s.restartDue()
	case alarmBackoff:
		s.backoffOver()
	case alarmProof:
		s.proven()
	case alarmSettled:
		s.settled()
	case alarmDrained:
		s.drainOver(nil)
	case alarmLinger:
		s.linger()
	case alarmStop:
		s.kill()
	case alarmBegin:
		if s.declared == nil && !s.life.stopping() {
			s.declare()
		}
	case alarmDeclare:
		s.locate()
	case alarmCoprocess:
		s.coprocessesDue()
	case alarmTask:
		s.tasksDue()
	case alarmGround:
		s.groundAlarm()
	case alarmHook: // advance tries again
	case alarmUse:
		s.askUse()
	case alarmReport:
		// The loop reports after every turn.
	}
}

// newKey returns the random key that proves who a launcher is.
func newKey() string {
	return crand.Text()
}
