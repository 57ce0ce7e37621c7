from __future__ import annotations

from live_kernel import LiveKernel


def test_what_a_task_may_do_is_taken_back_before_it_begins(nb: LiveKernel) -> None:
    nb.run("%%dispatch first -w shell\nsleep 60")
    nb.run("%%dispatch second -w shell --after first --when always\ntouch made")
    assert nb.run("%orchestra revoke second run browse").text == "taken back from second: run, browse\n"
    nb.run("%cancel first")
    nb.until_state("second", "failed")
    assert "NotGranted: it may not run" in nb.run("%orchestra explain second").text
    assert not nb.ask("__import__('os').path.exists('made')")
    nb.run("%orchestra retry second")
    nb.until_state("second", "done")
    assert nb.ask("__import__('os').path.exists('made')")


def test_what_can_not_be_taken_back_is_one_line(nb: LiveKernel) -> None:
    nb.run("%%dispatch ended -w shell\ntrue")
    nb.until_state("ended", "done")
    assert "task 'ended' is done: it may do nothing any more" in nb.fail("%orchestra revoke ended")
    assert "revoke knows no 'fly'; there are: read, write, run, network, browse" in nb.fail(
        "%orchestra revoke ended fly"
    )
    assert "no task is called 'nobody'" in nb.fail("%orchestra revoke nobody")
    assert "which task?" in nb.fail("%orchestra revoke")
