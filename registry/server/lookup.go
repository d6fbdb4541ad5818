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
	// Instances are all of the service, whatever their status, in no order.
	// There is at least one.
	Instances []registry.Instance

	derived sync.Map // what readers made of it, by reader
}

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

// Lookup returns what is known of a service, or nil when it has no instance.
// The names are in lower case. Who asks cannot acknowledge a drain, and is
// noted as such a reader of the service.
//
// It waits for nothing while the service stays as it is: no event of the
// registry delays it. It may be called at any time, by any goroutine.
func (s *Server) Lookup(namespace, service []byte) *Listing {
	x := s.index.Load()
	if x == nil {
		return nil
	}
	var space [128]byte
	record := x.find(append(append(append(space[:0], namespace...), ' '), service...))
	if record == nil {
		return nil
	}
	// First the note, then the look: see lookup.readLately.
	record.lookup.note(time.Since(x.start))
	l := record.lookup.listing.Load()
	if l == nil {
		l = s.list(record)
	}
	if len(l.Instances) == 0 {
		return nil // it has just lost its last one
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

// list makes the listing of a service, unless somebody else just has.
func (s *Server) list(record *service) *Listing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := record.lookup.listing.Load(); l != nil {
		return l
	}
	l := &Listing{Instances: make([]registry.Instance, 0, len(record.instances))}
	for _, i := range record.instances {
		l.Instances = append(l.Instances, i.shown)
	}
	record.lookup.listing.Store(l)
	return l
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
	l.listing.Store(nil)
	read := l.read.Load()
	return read != 0 && at-time.Duration(read) < blindFor
}

// counted is told of every form of an instance that begins or ends to be shown.
func (l *lookup) counted(s *service, i registry.Instance, by int) {
	l.listing.Store(nil)
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
}

func newIndex(start time.Time) *index {
	x := &index{
		start: start, seed: maphash.MakeSeed(),
		namespaces: make(map[string]int), addresses: make(map[netip.Addr]map[*service]int),
	}
	for n := range x.shards {
		x.shards[n].services = make(map[string]*service)
	}
	return x
}

func (x *index) shard(key []byte) *shard {
	return &x.shards[maphash.Bytes(x.seed, key)%indexShards]
}

// find returns the service with this key: namespace, a space, name.
func (x *index) find(key []byte) *service {
	s := x.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.services[string(key)]
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
	part.mu.Unlock()

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
