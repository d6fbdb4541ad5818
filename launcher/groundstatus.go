package launcher

import "cleat/launcher/control"

// volumeStatus tells how the volumes are.
func (s *supervisor) volumeStatus() []control.Volume {
	var all []control.Volume
	for _, v := range s.ground.volumes {
		c := control.Volume{Name: v.Name, Path: v.Path, State: control.Ready}
		switch {
		case !v.ready:
			c.State, c.Why = control.Awaited, s.whyVolume(v)
		case v.missing != nil:
			c.State, c.Why = control.Gone, s.whyVolume(v)
		}
		all = append(all, c)
	}
	return all
}

// networkStatus tells how the networks are.
func (s *supervisor) networkStatus() []control.Network {
	var all []control.Network
	for _, n := range s.ground.networks {
		c := control.Network{Name: n.Name, Spec: n.Spec.String(), State: control.Ready}
		switch {
		case n.missing == nil:
			c.Address = n.addr.String()
		case s.life == lifeProvisioning:
			c.State, c.Why = control.Awaited, n.missing.Error()
		default:
			c.State, c.Why = control.Gone, n.missing.Error()
		}
		all = append(all, c)
	}
	return all
}
