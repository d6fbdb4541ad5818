package access

import "fmt"

// Role is what a token may do. Each includes the ones before it.
type Role int8

// The roles.
const (
	// None may do nothing.
	None Role = iota
	// Read sees instances, and requires them.
	Read
	// Register offers instances, and takes away those that it may offer.
	Register
	// Admin does what an operator does: drains, maintenance, profiles.
	Admin
)

// roles are the names of the roles, as files and errors have them.
var roles = [...]string{None: "none", Read: "read", Register: "register", Admin: "admin"}

func (r Role) String() string {
	if r < None || r > Admin {
		return fmt.Sprintf("role(%d)", int(r))
	}
	return roles[r]
}

// ParseRole returns the role of that name: read, register or admin.
func ParseRole(name string) (Role, error) {
	for r := Read; r <= Admin; r++ {
		if roles[r] == name {
			return r, nil
		}
	}
	return None, fmt.Errorf("there is no role %.40q; expected read, register or admin", name)
}
