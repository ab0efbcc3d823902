package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"qwen-onprem.lab/gpu/internal/driver"
)

// rack returns so many GPUs, of which the first is not the kernel's first.
func rack(count int) []driver.GPU {
	gpus := make([]driver.GPU, count)
	for i := range gpus {
		gpus[i] = driver.GPU{Index: i, Minor: i + 1, UUID: fmt.Sprintf("GPU-%08d", i)}
	}
	return gpus
}

// kubelet records what registers with it.
type kubelet struct {
	api.UnimplementedRegistrationServer
	registered chan *api.RegisterRequest
}

func (k *kubelet) Register(_ context.Context, r *api.RegisterRequest) (*api.Empty, error) {
	k.registered <- r
	return &api.Empty{}, nil
}

func startKubelet(t *testing.T, folder string) (*kubelet, *grpc.Server) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(folder, "kubelet.sock"))
	if err != nil {
		t.Fatal(err)
	}
	k := &kubelet{registered: make(chan *api.RegisterRequest, 8)}
	s := grpc.NewServer()
	api.RegisterRegistrationServer(s, k)
	go s.Serve(listener)
	return k, s
}

func (k *kubelet) expect(t *testing.T) *api.RegisterRequest {
	t.Helper()
	select {
	case r := <-k.registered:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("no registration within 10 s")
		return nil
	}
}

func TestOffersDevicesAndAllocatesThem(t *testing.T) {
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k, s := startKubelet(t, folder)
	defer s.Stop()
	go offer(ctx, folder, newPlugin(rack(8), options{envvar: true}), 10*time.Millisecond)

	request := k.expect(t)
	if request.ResourceName != "nvidia.com/gpu" || request.Version != "v1beta1" {
		t.Fatalf("registered %v", request)
	}
	c, err := grpc.NewClient("unix://"+filepath.Join(folder, request.Endpoint),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client := api.NewDevicePluginClient(c)
	stream, err := client.ListAndWatch(ctx, &api.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := stream.Recv()
	if err != nil || len(list.Devices) != 8 || list.Devices[0].ID != "GPU-00000000" {
		t.Fatalf("devices %v, error %v", list, err)
	}
	answer, err := client.Allocate(ctx, &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{
		{DevicesIds: []string{"GPU-00000003", "GPU-00000005"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.ContainerResponses[0].Envs["NVIDIA_VISIBLE_DEVICES"]; got != "GPU-00000003,GPU-00000005" {
		t.Fatalf("NVIDIA_VISIBLE_DEVICES=%q", got)
	}
	if more := answer.ContainerResponses[0]; len(more.Devices)+len(more.Mounts)+len(more.CdiDevices) > 0 {
		t.Fatalf("more than names by default: %v", more)
	}
	if _, err := client.Allocate(ctx, &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{
		{DevicesIds: []string{"GPU-99999999"}}}}); err == nil {
		t.Fatal("a device that nobody offers was handed over")
	}
}

func TestReturnsWhenTheKubeletIsRestarted(t *testing.T) {
	folder := t.TempDir()
	k, s := startKubelet(t, folder)
	done := make(chan error, 1)
	go func() {
		done <- offer(context.Background(), folder, newPlugin(rack(1), options{}), 10*time.Millisecond)
	}()
	k.expect(t)

	s.GracefulStop()
	os.Remove(filepath.Join(folder, "kubelet.sock"))
	_, again := startKubelet(t, folder)
	defer again.Stop()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("kept serving a kubelet that is gone")
	}
}

func TestNamesTheMissingKubelet(t *testing.T) {
	if err := offer(context.Background(), t.TempDir(), newPlugin(rack(1), options{}), time.Millisecond); !os.IsNotExist(err) {
		t.Fatalf("error %v, want: no such file", err)
	}
}
