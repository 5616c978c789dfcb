"""The interface stops, also in the middle of an answer, and nothing of it is left."""

from __future__ import annotations

import gc
import threading
import weakref


def test_a_stopped_server_leaves_nothing_behind(serve):
    interface = serve()
    server = weakref.ref(interface._listeners[0].server)
    interface.stop()
    gc.collect()
    assert server() is None


def test_an_answer_that_takes_too_long_does_not_keep_the_server(serve, cloud, client, caplog):
    interface = serve()
    interface._listeners[0].server.shutdown_timeout = 0.1
    ec2 = client(interface=interface)
    started = ec2.run_instances(ImageId="emi-12345678", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    asked, answered = threading.Event(), []

    def console(caller, id):
        asked.set()
        threading.Event().wait(0.5)
        return type(cloud.instances).console(cloud.instances, caller, id)

    cloud.instances.console = console
    reader = threading.Thread(target=lambda: answered.append(ec2.get_console_output(InstanceId=started)))
    reader.start()
    assert asked.wait(5)
    interface.stop()
    reader.join(5)
    assert answered[0]["InstanceId"] == started
    assert not [record for record in caplog.records if record.exc_info]
