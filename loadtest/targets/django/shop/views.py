"""The pages: visits and cart of the session. Each shows all of it."""

from typing import Any

from django.contrib.auth.forms import UserCreationForm
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST


@require_GET
def look(request: Any) -> Any:
    """Show who is logged in, their visits and their cart."""
    return _show(request)


@require_POST
def visit(request: Any) -> Any:
    """Count a visit."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return _show(request)


@require_POST
def add(request: Any) -> Any:
    """Add an item to the cart."""
    request.session["cart"] = [*request.session.get("cart", []), request.POST["item"]]
    return _show(request)


def sign_up(request: Any) -> Any:
    """Make an account."""
    form = UserCreationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("/login")
    return render(request, "signup.html", {"form": form})


def live(_request: Any) -> Any:
    """Answer without a session."""
    return HttpResponse("alive")


def _show(request: Any) -> Any:
    session = request.session
    return render(request, "shop.html", {"visits": session.get("visits", 0), "cart": session.get("cart", [])})
