package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"qwen-onprem.lab/gpu/internal/driver"
)

// mounted is the folder in which NVIDIA's runtime looks for devices that are named by mounts.
const mounted = "/var/run/nvidia-container-devices"

// Further nodes that every container with a GPU needs, where the host has them.
var controlNodes = []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset"}

type plugin struct {
	api.UnimplementedDevicePluginServer
	options options
	gpus    []driver.GPU
	stopped chan struct{}
}

func newPlugin(gpus []driver.GPU, options options) *plugin {
	return &plugin{options: options, gpus: gpus, stopped: make(chan struct{})}
}

type server struct {
	*grpc.Server
	plugin *plugin
}

// Stop ends the open device streams first, because the kubelet never closes them.
func (s server) Stop() {
	close(s.plugin.stopped)
	s.Server.Stop()
}

func (p *plugin) serve(socket string) (server, error) {
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return server{}, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return server{}, err
	}
	s := server{grpc.NewServer(), p}
	api.RegisterDevicePluginServer(s.Server, p)
	go s.Serve(listener)
	return s, nil
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	response := &api.ListAndWatchResponse{}
	for _, gpu := range p.gpus {
		response.Devices = append(response.Devices, &api.Device{ID: gpu.UUID, Health: api.Healthy})
	}
	if err := stream.Send(response); err != nil {
		return err
	}
	select {
	case <-p.stopped:
	case <-stream.Context().Done():
	}
	return nil
}

// Allocate names the devices to the runtime that starts the container. Neither a variable nor a mount adds the driver by
// itself, and device nodes come without its libraries.
func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	response := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		gpus, err := p.known(container.DevicesIds)
		if err != nil {
			return nil, err
		}
		response.ContainerResponses = append(response.ContainerResponses, p.allocate(gpus))
	}
	return response, nil
}

func (p *plugin) known(ids []string) ([]driver.GPU, error) {
	byID := map[string]driver.GPU{}
	for _, gpu := range p.gpus {
		byID[gpu.UUID] = gpu
	}
	gpus := make([]driver.GPU, 0, len(ids))
	for _, id := range ids {
		gpu, ok := byID[id]
		if !ok {
			return nil, fmt.Errorf("invalid allocation request for %q: unknown device: %s", resource, id)
		}
		gpus = append(gpus, gpu)
	}
	return gpus, nil
}

func (p *plugin) allocate(gpus []driver.GPU) *api.ContainerAllocateResponse {
	names := make([]string, 0, len(gpus))
	for _, gpu := range gpus {
		if p.options.byIndex {
			names = append(names, strconv.Itoa(gpu.Index))
		} else {
			names = append(names, gpu.UUID)
		}
	}
	response := &api.ContainerAllocateResponse{Envs: map[string]string{}}
	if p.options.envvar {
		response.Envs["NVIDIA_VISIBLE_DEVICES"] = strings.Join(names, ",")
	}
	if p.options.volumeMounts {
		response.Envs["NVIDIA_VISIBLE_DEVICES"] = mounted
		for _, name := range names {
			response.Mounts = append(response.Mounts, &api.Mount{HostPath: "/dev/null", ContainerPath: path.Join(mounted, name)})
		}
	}
	if p.options.passDeviceSpecs {
		for _, node := range nodes(gpus) {
			response.Devices = append(response.Devices, &api.DeviceSpec{HostPath: node, ContainerPath: node, Permissions: "rw"})
		}
	}
	return response
}

func nodes(gpus []driver.GPU) []string {
	var present []string
	for _, node := range controlNodes {
		if _, err := os.Stat(node); err == nil {
			present = append(present, node)
		}
	}
	for _, gpu := range gpus {
		present = append(present, fmt.Sprintf("/dev/nvidia%d", gpu.Minor))
	}
	return present
}
