package consul

import (
	"sync"
	"time"
)

// outputEvery is how often the output of a check may change by itself. Many
// clients put the time, or a number, into each output: nobody who waits for the
// service is to be woken for that. Consul has the same rule, and the same number
// (check_update_interval).
const outputEvery = 5 * time.Minute

// outputs remembers when the output of a check last changed. What is older than
// [outputEvery] may be forgotten.
type outputs struct {
	mu   sync.Mutex
	told map[instanceName]time.Time
	most int // entries at which old ones are dropped
}

type instanceName struct{ namespace, id string }

// due reports whether a new output of an instance may be shown, and if so notes
// that it is.
func (o *outputs) due(namespace, id string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := instanceName{namespace, id}
	if last, found := o.told[name]; found && now.Sub(last) < outputEvery {
		return false
	}
	if o.told == nil {
		o.told = make(map[instanceName]time.Time)
	}
	o.told[name] = now
	if len(o.told) > max(o.most, leastIndexed) {
		for name, last := range o.told {
			if now.Sub(last) >= outputEvery {
				delete(o.told, name)
			}
		}
		o.most = 2 * len(o.told)
	}
	return true
}
