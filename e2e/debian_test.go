package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// debianPackages are what the image of real software has beside a minimal Debian.
var debianPackages = []string{"nginx-light", "mariadb-server", "mariadb-client", "wrk", "procps", "iproute2"}

// debianTag names the imported image; it changes with what is in it.
const debianTag = "cleat-e2e/debian:nginx-mariadb-2"

// debian makes a Debian with nginx and MariaDB once, and keeps it as an archive in the cache and as an image in the
// engine.
var debian = sync.OnceValues(func() (string, error) {
	if _, err := docker("image", "inspect", debianTag); err == nil {
		return debianTag, nil
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	// Two runs at a time share the work: the second waits for the first.
	lock, err := os.Create(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	archive := filepath.Join(cache, strings.NewReplacer("/", "-", ":", "-").Replace(debianTag)+".tar")
	if !exists(archive) {
		if err := bootstrap(archive); err != nil {
			return "", err
		}
	}
	_, err = docker("import", archive, debianTag)
	return debianTag, err
})

func needsDebian(t *testing.T) string {
	t.Helper()
	needsDocker(t)
	name, err := debian()
	if err != nil {
		lacks(t, "debootstrap and a Debian mirror", err)
	}
	return name
}

func cacheDir() (string, error) {
	const system = "/var/cache/cleat-e2e"
	if os.MkdirAll(system, 0o755) == nil {
		return system, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(user, "cleat-e2e")
	return dir, os.MkdirAll(dir, 0o755)
}

// bootstrap makes a Debian in a directory beside the archive and packs it.
func bootstrap(archive string) error {
	if _, err := exec.LookPath("debootstrap"); err != nil {
		return err
	}
	mirror, suite, err := aptMirror()
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp(filepath.Dir(archive), "debian-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(root) }()
	// The directory becomes the root of containers, where every user has to get through.
	if err := os.Chmod(root, 0o755); err != nil {
		return err
	}
	steps := [][]string{
		{"debootstrap", "--variant=minbase", "--include=" + strings.Join(debianPackages, ","), suite, root, mirror},
		{"chroot", root, "install", "-d", "-o", "mysql", "/run/mysqld"}, // where MariaDB wants to put its socket
		{"tar", "-C", root, "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./proc/*", "--exclude=./sys/*", "-cf", archive + ".part", "."},
		{"mv", archive + ".part", archive},
	}
	for _, step := range steps {
		if out, err := exec.Command(step[0], step[1:]...).CombinedOutput(); err != nil {
			last := out[max(0, len(out)-2000):]
			return fmt.Errorf("%s: %w\n%s", step[0], err, last)
		}
	}
	return nil
}

// aptMirror asks apt where this machine takes its packages from.
func aptMirror() (mirror, suite string, err error) {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(CODENAME) $(SUITE) $(COMPONENT) $(REPO_URI)",
		"Created-By: Packages", "Component: main").Output()
	if err != nil {
		return "", "", fmt.Errorf("apt-get indextargets: %w", err)
	}
	var lines [][]string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		// The main archive of a release has a plain code name; updates and security have a suffix.
		if len(fields) == 4 && !strings.ContainsAny(fields[0], "-/") {
			lines = append(lines, fields)
		}
	}
	if len(lines) == 0 {
		return "", "", errors.New("apt has no package source with component main; run apt-get update, on a Debian")
	}
	slices.SortFunc(lines, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return lines[0][3], lines[0][0], nil
}
