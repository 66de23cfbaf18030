<?php
// Visits and cart in the session, as PHP's manual has it. Users are user-1, user-2, ...; the password of each is its
// name and "-password".

function show(): void
{
    $cart = implode('', array_map(fn($item) => '<li>' . htmlspecialchars($item) . '</li>', $_SESSION['cart'] ?? []));
    $user = htmlspecialchars($_SESSION['user'] ?? '');
    $visits = $_SESSION['visits'] ?? 0;
    echo "<!doctype html><title>Shop</title>";
    echo $user === '' ? '<p><a href="/login">Log in</a></p>' : "<p>Hello, <b id=\"user\">$user</b></p>";
    echo "<p><span id=\"visits\">$visits</span> visits</p><ul id=\"cart\">$cart</ul>";
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/live') {
    echo 'alive';
    exit;
}

if (!session_start()) { // the store does not answer, or the session's lock is not free in time
    http_response_code(503);
    exit;
}

switch ("{$_SERVER['REQUEST_METHOD']} $path") {
    case 'GET /':
        show();
        break;
    case 'GET /login':
        echo '<!doctype html><title>Log in</title><form method="post"><input name="user">';
        echo '<input name="password" type="password"><button>Log in</button></form>';
        break;
    case 'POST /login':
        if (!hash_equals("{$_POST['user']}-password", $_POST['password'])) {
            http_response_code(401);
            break;
        }
        session_regenerate_id(true);
        $_SESSION['user'] = $_POST['user'];
        header('Location: /', true, 303);
        break;
    case 'POST /logout':
        $_SESSION = [];
        setcookie(session_name(), '', time() - 42000, '/');
        session_destroy();
        header('Location: /', true, 303);
        break;
    case 'POST /visits':
        $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
        show();
        break;
    case 'POST /cart':
        $_SESSION['cart'][] = $_POST['item'];
        show();
        break;
    default:
        http_response_code(404);
}
