"""The paths. Login and logout are those of django.contrib.auth."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from shop import views

urlpatterns = [
    path("", views.look),
    path("login", LoginView.as_view()),
    path("logout", LogoutView.as_view()),
    path("signup", views.sign_up),
    path("visits", views.visit),
    path("cart", views.add),
    path("live", views.live),
]
