package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// seedImage is smallImage with a seed: files of several owners, and links.
var seedImage = sync.OnceValues(func() (string, error) {
	small, err := smallImage()
	if err != nil {
		return "", err
	}
	return withPrograms("seed", small, "COPY --chown=33:44 config /seed/sub/config\nCOPY hello /seed/hello\n",
		map[string]string{"config": "a=1\n", "hello": "hello\n"})
})

// seedVolume makes a named volume that goes with the test.
func seedVolume(t *testing.T, name string) string {
	t.Helper()
	name = fmt.Sprintf("cleat-e2e-%s-%s", run, name)
	mustDocker(t, "volume", "create", "--label", dockerLabel+"="+run, name)
	t.Cleanup(func() { _, _ = docker("volume", "rm", "-f", name) })
	return name
}

// listing describes what is in a directory of the container: mode, owner and size of each path.
func (c *container) listing(path string) (map[string]string, error) {
	out, err := exec.Command("docker", "cp", c.id+":"+path, "-").Output()
	if err != nil {
		return nil, err
	}
	all := make(map[string]string)
	for r := tar.NewReader(bytes.NewReader(out)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(h.Name, "/")] = fmt.Sprintf("%04o %d:%d %d", h.Mode&0o7777, h.Uid, h.Gid, h.Size)
	}
}

// TestContainerSeedsAVolume: an empty named volume is filled once, in a container with a read-only root file system and
// a child that is not root.
func TestContainerSeedsAVolume(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image, name := must(t, seedImage), seedVolume(t, "seeded")
	start := func() *container {
		c := runContainer(t, "seeded", "--read-only", "-v", name+":/data", "-e", "CLEAT_USER=1234:1234",
			"-e", "CLEAT_VOLUME_DATA=/data?mounted&writable&seed=/seed&owner=1234:4321&mode=2770", image, "/testchild", "signals")
		c.waitLog(20*time.Second, "cleat: started")
		return c
	}
	c := start()
	if !strings.Contains(c.log(), "seeded a volume volume=data path=/data from=/seed entries=3 bytes=10") {
		t.Error("it was not seeded")
	}
	is, err := c.listing("/data")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"data": "2770 1234:4321 0", "data/hello": "0644 0:0 6", "data/sub": "0755 33:44 0", "data/sub/config": "0644 33:44 4",
	} {
		if is[path] != want {
			t.Errorf("%s is %q, expected %q", path, is[path], want)
		}
	}
	if len(is) != 4 {
		t.Errorf("there is %v", is)
	}
	if code, _ := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if c = start(); strings.Contains(c.log(), "seeded a volume") {
		t.Error("it was seeded twice")
	}
}

// TestContainerVolumeCannotBeUsed: each reason is said, and the exit code is cleat's own.
func TestContainerVolumeCannotBeUsed(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	image := must(t, seedImage)
	for _, test := range []struct{ volume, want string }{
		{"/seed?writable&wait=300ms", "read-only file system"},
		{"/seed?mounted&wait=300ms", "nothing is mounted there"},
		{"/none?wait=300ms", "there is no such directory"},
		{"/tmpfs?seed=/none&wait=300ms", "open the seed /none: no such file or directory"},
		{"/tmpfs?provision=/testchild+exit+3&wait=300ms", "exit status 3"},
	} {
		c := runContainer(t, "unusable", "--read-only", "--tmpfs", "/tmpfs", "-e", "CLEAT_VOLUME_X="+test.volume, image, "/testchild", "signals")
		c.wantExit(125)
		if log := c.log(); !strings.Contains(log, "a volume was not there in time") || !strings.Contains(log, test.want) {
			t.Errorf("%s: the log has not %q:\n%s", test.volume, test.want, log)
		}
	}
}

// TestContainerProvisionsAndReleases mounts for real: by provision=, and from outside while the child waits.
func TestContainerProvisionsAndReleases(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	c := runContainer(t, "provisioned", "--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined", "--tmpfs", "/base",
		"-e", "CLEAT_VOLUME_A=/base/a?mounted&writable&provision=/testchild+mount+/base/a&release=/testchild+umount+/base/a",
		"-e", "CLEAT_VOLUME_B=/base/a/b?mounted&provision=/testchild+mount+/base/a/b&release=/testchild+umount+/base/a/b",
		"-e", "CLEAT_VOLUME_LATE=/base/late?mounted",
		must(t, smallImage), "/testchild", "signals")
	c.waitLog(20*time.Second, "waiting for a volume volume=late")
	if strings.Contains(c.log(), "cleat: started") {
		t.Error("the child was started without its volume")
	}
	began := time.Now()
	c.exec("/testchild", "mount", "/base/late")
	c.waitLog(10*time.Second, "cleat: started")
	t.Logf("started %v after docker exec began to mount", time.Since(began).Round(time.Millisecond))
	c.exec("/testchild", "umount", "/base/late")
	c.waitLog(10*time.Second, "a volume is gone; the child is left alone")
	if code, _ := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	order := []string{"provisioned a volume volume=a", "provisioned a volume volume=b", "cleat: started", "the child has ended", "released a volume volume=b", "released a volume volume=a"}
	log := c.log()
	for at, n := 0, 0; n < len(order); n++ {
		i := strings.Index(log[at:], order[n])
		if i < 0 {
			t.Fatalf("%q is missing, or not behind %q", order[n], order[max(n-1, 0)])
		}
		at += i
	}
}

// TestContainerWaitsForANetwork connects a network while the container waits for it, and takes it away again.
func TestContainerWaitsForANetwork(t *testing.T) {
	t.Parallel()
	needsDocker(t)
	network := fmt.Sprintf("cleat-e2e-%s-late", run)
	mustDocker(t, "network", "create", "--label", dockerLabel+"="+run, network)
	t.Cleanup(func() { _, _ = docker("network", "rm", network) })
	subnet := mustDocker(t, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", network)
	options := []string{"-e", "CLEAT_NETWORK_BACK=" + subnet, must(t, smallImage), "/testchild", "signals"}

	stopped := runContainer(t, "stopped", options...)
	stopped.waitLog(20*time.Second, "waiting for a network network=back spec="+subnet)
	if code, took := stopped.stop(); code != 143 || took > 3*time.Second {
		t.Errorf("stopped while it waited: exit code %d after %v", code, took)
	}

	c := runContainer(t, "networked", options...)
	c.waitLog(20*time.Second, "waiting for a network")
	mustDocker(t, "network", "connect", network, c.id)
	began := time.Now()
	c.waitLog(10*time.Second, "cleat: started")
	t.Logf("started %v after the network was connected", time.Since(began).Round(time.Millisecond))
	mustDocker(t, "network", "disconnect", network, c.id)
	c.waitLog(10*time.Second, "a network is gone; the child is left alone")
	mustDocker(t, "network", "connect", network, c.id)
	c.waitLog(10*time.Second, "a network is up again")
	if code, _ := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
