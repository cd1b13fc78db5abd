"""The scheduler of a small operating system, after Martin Richards's idea: objects, methods, linked queues.   richards.py ROUNDS"""

import sys
from collections import deque

IDLE, WORKER, DEVICE_A, DEVICE_B, HANDLER_A, HANDLER_B = range(6)


class Packet:
    def __init__(self, owner, work):
        self.owner, self.work, self.datum, self.data = owner, work, 0, [0] * 4


class Task:
    def __init__(self, system, number, priority):
        self.system, self.number, self.priority = system, number, priority
        self.waiting, self.held = deque(), False

    def ready(self):
        return not self.held and bool(self.waiting)

    def take(self):
        return self.waiting.popleft()


class Idle(Task):
    """Releases one of the devices at a time, which one a shift register says."""

    def __init__(self, system, left):
        super().__init__(system, IDLE, 0)
        self.register, self.left = 1, left

    def ready(self):
        return self.left > 0

    def run(self):
        self.left -= 1
        if self.register & 1:
            self.register = self.register >> 1 ^ 0xD008
            self.system.release(DEVICE_B)
        else:
            self.register >>= 1
            self.system.release(DEVICE_A)


class Worker(Task):
    """Fills packets and sends them to the handlers in turn."""

    def __init__(self, system):
        super().__init__(system, WORKER, 10)
        self.to, self.letter = HANDLER_A, 0

    def run(self):
        packet = self.take()
        self.to = HANDLER_A + HANDLER_B - self.to
        for i in range(len(packet.data)):
            self.letter = self.letter % 26 + 1
            packet.data[i] = 64 + self.letter
        packet.datum = 0
        self.system.send(packet, self.to)


class Handler(Task):
    """Hands out a work packet's bytes, one for each device packet that comes back."""

    def __init__(self, system, number, device):
        super().__init__(system, number, 20)
        self.device, self.work, self.free = device, deque(), deque()

    def run(self):
        packet = self.take()
        (self.work if packet.work else self.free).append(packet)
        while self.work:
            packet = self.work[0]
            if packet.datum >= len(packet.data):
                self.system.send(self.work.popleft(), WORKER)
            elif self.free:
                device = self.free.popleft()
                device.datum = packet.data[packet.datum]
                packet.datum += 1
                self.system.send(device, self.device)
            else:
                return


class Device(Task):
    """Answers a packet after the idle task has released it."""

    def __init__(self, system, number):
        super().__init__(system, number, 30)
        self.kept = None

    def run(self):
        if self.kept is None:
            self.kept = self.take()
            self.held = True
            self.system.holds += 1
        else:
            packet, self.kept = self.kept, None
            self.system.checksum = (self.system.checksum * 31 + packet.datum) & 0xFFFFFFFF
            self.system.send(packet, packet.owner)

    def ready(self):
        return not self.held and (self.kept is not None or bool(self.waiting))


class System:
    def __init__(self, rounds):
        self.holds = self.sent = self.checksum = 0
        self.tasks = [Idle(self, rounds), Worker(self), Device(self, DEVICE_A), Device(self, DEVICE_B),
                      Handler(self, HANDLER_A, DEVICE_A), Handler(self, HANDLER_B, DEVICE_B)]
        self.order = sorted(self.tasks, key=lambda task: -task.priority)
        for handler in (HANDLER_A, HANDLER_B):
            self.tasks[WORKER].waiting.append(Packet(handler, work=True))
            for _ in range(3):
                self.tasks[handler].free.append(Packet(handler, work=False))

    def send(self, packet, to):
        self.sent += 1
        self.tasks[to].waiting.append(packet)

    def release(self, number):
        self.tasks[number].held = False

    def run(self):
        while True:
            for task in self.order:
                if task.ready():
                    task.run()
                    break
            else:
                return


system = System(int(sys.argv[1]))
system.run()
print(system.sent, system.holds, system.checksum)
