-- The databases of the stack, each with a role of its own. Run once, by the image, when the server is new.
\getenv pressroom PRESSROOM_DATABASE_PASSWORD
\getenv keycloak KEYCLOAK_DATABASE_PASSWORD
CREATE ROLE notebook_manager LOGIN PASSWORD :'pressroom';
CREATE DATABASE notebook_manager OWNER notebook_manager;
CREATE ROLE keycloak LOGIN PASSWORD :'keycloak';
CREATE DATABASE keycloak OWNER keycloak;
