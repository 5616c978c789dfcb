"""A server that does nothing: it answers every request with the same bytes.

    python -m bench.trivial SIZE        prints its port

Against it the load generator shows what it can do at best.  (Both share the machine's cores, so the true ceiling lies
higher still.)
"""

from __future__ import annotations

import select
import socket
import sys


def serve(size: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
                continue
            client = clients[fd]
            if client.recv(65536):
                client.sendall(answer)
            else:
                poll.unregister(client)
                del clients[fd]
                client.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
