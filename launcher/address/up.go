package address

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"
)

// Up returns the address by which the network that the spec names is up now;
// the error tells what is missing. The spec is one of [ParseNetwork].
func (s Spec) Up() (netip.Addr, error) {
	cards, err := readCards()
	if err != nil {
		return netip.Addr{}, err
	}
	return s.up(cards, tentative())
}

// up is Up over given interfaces, and addresses that cannot be used yet.
func (s Spec) up(cards []card, tentative []netip.Addr) (netip.Addr, error) {
	var usable []card
	for _, c := range cards {
		c.addrs = slices.DeleteFunc(slices.Clone(c.addrs), func(a netip.Addr) bool { return slices.Contains(tentative, a) })
		if s.kind == ofInterface && c.name == s.name {
			switch {
			case !c.up:
				return netip.Addr{}, errors.New("the interface is down")
			case !c.running:
				return netip.Addr{}, errors.New("the interface has no carrier")
			}
		}
		if c.up && c.running {
			usable = append(usable, c)
		}
	}
	switch s.kind {
	case ofInterface:
		if !slices.ContainsFunc(usable, func(c card) bool { return c.name == s.name }) {
			return netip.Addr{}, errors.New("there is no such interface")
		}
		addr, err := s.chooseOfInterface(usable)
		switch {
		case err == nil && addr.IsLinkLocalUnicast() && s.index < 0, err != nil && s.family == inet6:
			return netip.Addr{}, errors.New("the interface has no IPv6 address that can be used yet, link-local ones aside")
		case err != nil && s.index < 0:
			return netip.Addr{}, errors.New("the interface has no IPv4 address")
		}
		return addr, err
	case inNetwork:
		return s.chooseInNetwork(usable)
	case ofFamily:
		return s.choose(Query{}, usable, nil)
	}
	return netip.Addr{}, errors.New("this spec was not made by ParseNetwork")
}

// addressTable lists the IPv6 addresses of this network namespace: address,
// interface's number, length of the prefix, scope, flags, interface's name.
const addressTable = "/proc/net/if_inet6"

const (
	flagsField  = 4 // from 0
	tableFields = 6
	// tentativeFlags: the kernel still looks whether somebody else has the
	// address, or has found somebody (IFA_F_TENTATIVE, IFA_F_DADFAILED in
	// linux/if_addr.h). Nobody can use it then.
	tentativeFlags = 0x40 | 0x08
)

// tentative returns the addresses that are there and cannot be used.
func tentative() []netip.Addr {
	table, err := os.ReadFile(addressTable)
	if err != nil {
		return nil // there is no IPv6
	}
	return parseTentative(table)
}

func parseTentative(table []byte) []netip.Addr {
	var all []netip.Addr
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) != tableFields {
			continue
		}
		var addr [16]byte
		n, err := hex.Decode(addr[:], fields[0][:min(len(fields[0]), 2*len(addr))])
		flags, err2 := strconv.ParseUint(string(fields[flagsField]), 16, 32)
		if err == nil && err2 == nil && n == len(addr) && flags&tentativeFlags != 0 {
			all = append(all, netip.AddrFrom16(addr).Unmap())
		}
	}
	return all
}
