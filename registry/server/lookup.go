package server

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cleat/registry"
)

// Listing is what the server knows of one service at one moment, for readers
// without a session, such as DNS. It never changes: when the service does, the
// next [Server.Lookup] returns another one. So two lookups that return the same
// pointer say the same, and what a reader made of a listing may be kept with it.
type Listing struct {
	// Instances are all of the service, whatever their status, in no order. A
	// service of which the server knows nothing has none.
	Instances []registry.Instance
	// Revision is that of the last change of the service, its end included. It
	// never goes back. That of a service without instances may grow although
	// nothing has changed.
	Revision registry.Revision
	// Notes are what there is to say of some of the instances, by id. nil when
	// there is nothing.
	Notes map[string]Note

	changed signal
	routed  atomic.Bool // somebody has it who routes traffic by it
	derived sync.Map    // what readers made of it, by reader
}

// Note is what a listing says of an instance that is not an ordinary one of a
// launcher.
type Note struct {
	Source string          // who registered it, if no launcher did; see [Registration]
	Held   bool            // it is shown although its session is lost, or although it is critical
	Actual registry.Status // what it is, which is not what it is shown as while it is held
}

// Changed returns a channel that is closed when the service is no longer as
// listed. It may also be closed when nothing has changed: then another look has
// the same instances, and for a service without any a larger revision at most.
func (l *Listing) Changed() <-chan struct{} { return l.changed.wait() }

// Derived returns what the reader made of the listing, and lets it make that if
// it has not yet. It lives as long as the listing. make may be called more than
// once by goroutines that ask at the same time; one of the results is kept.
func (l *Listing) Derived(reader any, make func(*Listing) any) any {
	if made, found := l.derived.Load(reader); found {
		return made
	}
	made, _ := l.derived.LoadOrStore(reader, make(l))
	return made
}

// ServiceName names a service.
type ServiceName struct{ Namespace, Service string }

// Lookup returns what is known of a service, for somebody who routes traffic by
// it: such a reader cannot acknowledge a drain, and is noted as one of the
// service; for as long as it waits for [Listing.Changed], too. The names are in
// lower case. The result is never nil.
//
// It waits for nothing while the service stays as it is: no event of the
// registry delays it. It may be called at any time, by any goroutine.
func (s *Server) Lookup(namespace, service []byte) *Listing {
	return s.look(namespace, service, true)
}

// Look is [Server.Lookup] for somebody who only shows what there is: a page, a
// metric, a list of targets. It makes no drain wait.
func (s *Server) Look(namespace, service string) *Listing {
	return s.look([]byte(namespace), []byte(service), false)
}

// nothing is the listing of every service before the server serves.
var nothing = &Listing{}

func (s *Server) look(namespace, service []byte, routes bool) *Listing {
	x := s.index.Load()
	if x == nil {
		return nothing
	}
	var space [128]byte
	key := append(append(append(space[:0], namespace...), ' '), service...)
	record, none := x.find(key)
	if record == nil {
		return none
	}
	if routes { // first the note, then the look: see lookup.readLately
		record.lookup.note(time.Since(x.start))
	}
	l := record.lookup.listing.Load()
	if l == nil {
		if l = s.list(record); l == nil { // it has just lost its last instance
			_, none = x.find(key)
			return none
		}
	}
	if routes && !l.routed.Load() {
		l.routed.Store(true)
	}
	return l
}

// HasNamespace reports whether an instance is in the namespace, or in one below
// it (dev has those of dev/alice).
func (s *Server) HasNamespace(namespace []byte) bool {
	x := s.index.Load()
	if x == nil {
		return false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.namespaces[string(namespace)] > 0
}

// ServicesAt returns the services that have a passing or warning instance at an
// address, sorted; at most so many of them.
func (s *Server) ServicesAt(addr netip.Addr, most int) []ServiceName {
	x := s.index.Load()
	if x == nil {
		return nil
	}
	var names []ServiceName
	x.mu.RLock()
	for record := range x.addresses[addr.Unmap()] {
		if names = append(names, ServiceName{record.namespace, record.name}); len(names) == most {
			break
		}
	}
	x.mu.RUnlock()
	slices.SortFunc(names, func(a, b ServiceName) int {
		if order := strings.Compare(a.Service, b.Service); order != 0 {
			return order
		}
		return strings.Compare(a.Namespace, b.Namespace)
	})
	return names
}

// Warming reports whether the server knows that it does not know: what is
// missing may only not be back yet. A server that does not serve yet is warming.
func (s *Server) Warming() bool {
	x := s.index.Load()
	return x == nil || x.warming.Load()
}

// list makes the listing of a service, unless somebody else just has. It is nil
// when the service has no instance.
func (s *Server) list(record *service) *Listing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := record.lookup.listing.Load(); l != nil {
		return l
	}
	if len(record.instances) == 0 {
		return nil
	}
	l := &Listing{Instances: make([]registry.Instance, 0, len(record.instances)), Revision: record.revision}
	for _, i := range record.instances {
		l.Instances = append(l.Instances, i.shown)
		if note := i.note(); note.Held || note.Source != "" {
			if l.Notes == nil {
				l.Notes = make(map[string]Note)
			}
			l.Notes[i.shown.ID] = note
		}
	}
	record.lookup.listing.Store(l)
	return l
}

func (i *instance) note() Note {
	n := Note{Held: i.held != notHeld, Actual: i.actual()}
	if i.kept != nil {
		n.Source = i.kept.Source
	}
	return n
}

// lookup is the side of a service that readers without a session see. It is
// made for many of them: they take no lock unless something has changed.
//
//	none --somebody asks--> listed --an instance changes--> none
type lookup struct {
	index   *index
	indexed bool // the service has instances
	listing atomic.Pointer[Listing]
	read    atomic.Int64 // when somebody last read it, since the server's start; 0: never
}

// note notes a reader that cannot acknowledge, so long after the server's start.
func (l *lookup) note(at time.Duration) { l.read.Store(int64(max(at, 1))) }

// readLately reports whether anybody has read the service within the last
// blindFor who cannot acknowledge. It is asked before instances are hidden, and
// takes the listing away first: a reader notes itself before it looks, so who
// got the listing is seen here, and who is not seen here gets another one.
func (l *lookup) readLately(at time.Duration) bool {
	waiting := l.expire()
	read := l.read.Load()
	return waiting || read != 0 && at-time.Duration(read) < blindFor
}

// expire takes the listing away. It reports whether somebody who routes by it
// may be waiting for that.
func (l *lookup) expire() bool {
	old := l.listing.Swap(nil)
	if old == nil {
		return false
	}
	waited := old.changed.waited()
	old.changed.end()
	return waited && old.routed.Load()
}

// counted is told of every form of an instance that begins or ends to be shown.
func (l *lookup) counted(s *service, i registry.Instance, by int) {
	if !i.Status.Serving() {
		return
	}
	addr, err := netip.ParseAddr(i.Address)
	if err != nil {
		return // a host name
	}
	x := l.index
	x.mu.Lock()
	defer x.mu.Unlock()
	services := x.addresses[addr]
	if services == nil {
		services = make(map[*service]int, 1)
		x.addresses[addr] = services
	}
	if services[s] += by; services[s] != 0 {
		return
	}
	delete(services, s)
	if len(services) == 0 {
		delete(x.addresses, addr)
	}
}

// changed is told when instances have come to the service, or gone.
func (l *lookup) changed(s *service) {
	if has := len(s.instances) > 0; has != l.indexed {
		l.indexed = has
		l.index.put(s, has)
	}
}

// indexShards is the number of parts of the index, each with a lock of its own:
// enough that readers on all cores seldom meet at one.
const indexShards = 64

// index finds services without the server's mutex. Its locks are held for one
// look or one change each.
type index struct {
	start   time.Time
	warming atomic.Bool
	seed    maphash.Seed
	shards  [indexShards]shard

	mu         sync.RWMutex
	namespaces map[string]int                  // services with instances in each, and below
	addresses  map[netip.Addr]map[*service]int // serving instances
}

// shard holds services with instances by namespace and name.
type shard struct {
	mu       sync.RWMutex
	services map[string]*service
	none     *Listing // of all services that are not here; another one when one comes or goes
}

func newIndex(start time.Time) *index {
	x := &index{
		start: start, seed: maphash.MakeSeed(),
		namespaces: make(map[string]int), addresses: make(map[netip.Addr]map[*service]int),
	}
	for n := range x.shards {
		x.shards[n].services = make(map[string]*service)
		x.shards[n].none = &Listing{Revision: registry.FirstRevision(start)}
	}
	return x
}

func (x *index) shard(key []byte) *shard {
	return &x.shards[maphash.Bytes(x.seed, key)%indexShards]
}

// find returns the service with this key: namespace, a space, name; or the
// listing of one that has no instance.
func (x *index) find(key []byte) (*service, *Listing) {
	s := x.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.services[string(key)], s.none
}

// put enters a service, or takes it out.
func (x *index) put(s *service, in bool) {
	key := []byte(s.namespace + " " + s.name)
	by := -1
	part := x.shard(key)
	part.mu.Lock()
	if in {
		by = 1
		part.services[string(key)] = s
	} else {
		delete(part.services, string(key))
	}
	none := part.none
	part.none = &Listing{Revision: max(none.Revision, s.revision)}
	part.mu.Unlock()
	none.changed.end()

	x.mu.Lock()
	defer x.mu.Unlock()
	for namespace := []byte(s.namespace); ; {
		if x.namespaces[string(namespace)] += by; x.namespaces[string(namespace)] == 0 {
			delete(x.namespaces, string(namespace))
		}
		last := bytes.LastIndexByte(namespace, '/')
		if last < 0 {
			return
		}
		namespace = namespace[:last]
	}
}
